"""The verdicts of one attempt, collected while it runs: each recipient gets one, and keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from email_core.delivery.bounce_classes import Classification, classify
from email_core.delivery.outcome import Disposition, Outcome, Reply, Stage
from email_core.delivery.reply import fit_to_keep
from email_core.delivery.transcript import Transcript
from email_core.message.address import Address

HANDED_OVER = "handed over"  # the reason of an outcome that is none yet


class Verdicts:
    """Who of the recipients has an outcome, and which. The first one stands: nothing that comes later changes it."""

    def __init__(self, recipients: Iterable[Address], transcript: Transcript) -> None:
        self._recipients = {recipient.addr_spec: recipient for recipient in recipients}
        self._outcomes: dict[str, Outcome] = {}
        self._transcript = transcript

    @property
    def pending(self) -> tuple[Address, ...]:
        """The recipients without a verdict, in their order."""
        return tuple(address for spec, address in self._recipients.items() if spec not in self._outcomes)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes that there are, in the order of the recipients."""
        return tuple(self._outcomes[spec] for spec in self._recipients if spec in self._outcomes)

    def is_pending(self, recipient: Address) -> bool:
        """Whether this recipient has no verdict yet."""
        return recipient.addr_spec not in self._outcomes

    def settle(self, outcome: Outcome) -> None:
        """Record an outcome, unless its recipient has one."""
        reply = outcome.reply and outcome.reply._replace(text=fit_to_keep(outcome.reply.text))
        fit = replace(outcome, reply=reply, reason=fit_to_keep(outcome.reason))
        self._outcomes.setdefault(outcome.recipient, fit)

    def deliver(self, recipients: Iterable[Address], reply: Reply, *, mx_host: str) -> None:
        """The receiver took the message for these recipients."""
        for recipient in recipients:
            self.settle(Outcome(recipient.addr_spec, Disposition.DELIVERED, reply, Stage.FINAL_DOT, mx_host))

    def refuse(self, recipients: Sequence[Address], reply: Reply, stage: Stage, *, mx_host: str = "", reason: str = "") -> None:
        """A reply that took nothing: the bounce rules say what it means for these recipients."""
        if not recipients:
            return
        verdict = classify(reply, stage=stage, mx_host=mx_host, recipients=self._recipients)
        # After DATA a reply is about the message as a whole; with several recipients it names no address for certain.
        suppress = verdict.suppress and (stage is Stage.RCPT or len(recipients) == 1)
        self._tell(recipients, stage, verdict)
        for recipient in recipients:
            self.settle(
                Outcome(
                    recipient.addr_spec,
                    verdict.disposition,
                    reply,
                    stage,
                    mx_host,
                    bounce_class=verdict.bounce_class,
                    rule=verdict.rule,
                    retry_after=verdict.retry_after,
                    suppress=suppress,
                    reason=reason,
                )
            )

    def defer(
        self,
        recipients: Sequence[Address],
        stage: Stage,
        reason: str,
        *,
        mx_host: str = "",
        reply: Reply | None = None,
        indeterminate: bool = False,
        withheld: bool = False,
    ) -> None:
        """Nobody judged these recipients: try again. `reply` is what a host said about itself, when it said anything.

        `withheld`: the reply decides what follows, and is not kept.
        """
        if not recipients:
            return
        verdict = classify(reply, stage=stage, mx_host=mx_host, recipients=self._recipients)
        if indeterminate:
            self._transcript.indeterminate([recipient.addr_spec for recipient in recipients], stage, reason)
        self._tell(recipients, stage, replace(verdict, disposition=Disposition.DEFERRED))
        for recipient in recipients:
            self.settle(
                Outcome(
                    recipient.addr_spec,
                    Disposition.DEFERRED,
                    None if withheld else reply,
                    stage,
                    mx_host,
                    bounce_class=verdict.bounce_class,
                    rule=verdict.rule,
                    retry_after=verdict.retry_after,
                    indeterminate=indeterminate,
                    reason=reason,
                )
            )

    def hand_over(self, recipients: Iterable[Address], stage: Stage) -> None:
        """Patience ran out at that stage: a patient attempt goes on from the start."""
        for recipient in recipients:
            self.settle(Outcome(recipient.addr_spec, Disposition.DEFERRED, stage=stage, reason=HANDED_OVER))

    def _tell(self, recipients: Sequence[Address], stage: Stage, verdict: Classification) -> None:
        addresses = [recipient.addr_spec for recipient in recipients]
        self._transcript.verdict(addresses, stage, verdict.rule, verdict.bounce_class, verdict.disposition)
