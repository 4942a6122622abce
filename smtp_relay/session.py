"""Submission: who has logged in sends from the domains of its communication service, by the pipeline that HTTP leads to."""

from __future__ import annotations

from typing import BinaryIO

from email_core import maillog
from email_core.delivery.capacity import SMALL
from email_core.domains.sending import SendingDomain
from email_core.message.address import Address, AddressError, parse_address
from email_core.message.dsn_options import MessageOptions, read_message_options, read_recipient_options
from email_core.services import Services
from email_core.submission.accept_mime import MimeRecipient, MimeSubmission, accept_mime
from smtp_relay import replies
from smtp_relay.commands import Path
from smtp_relay.counters import Counters
from smtp_relay.credentials import Credentials, LoginRefused, Submitter
from smtp_relay.door import Visit
from smtp_relay.dot_stream import MAX_LINE
from smtp_relay.options import RelayOptions
from smtp_relay.replies import Reply

SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
NULL_SENDER = Reply(501, "5.1.7", "The sender must be an address: only notifications have none")


class SubmissionDoor:
    """The door of one connection. See `door.Door`."""

    needs_login = True
    max_line = MAX_LINE

    def __init__(
        self, services: Services, credentials: Credentials, options: RelayOptions, counters: Counters, visit: Visit
    ) -> None:
        self.max_bytes = self.kept_bytes = options.max_bytes
        self._services = services
        self._credentials = credentials
        self._options = options
        self._counters = counters
        self._visit = visit
        self._sender: Address | None = None
        self._message_options = MessageOptions()
        self._smtputf8 = False
        self._recipients: list[MimeRecipient] = []

    def reset(self) -> None:
        self._sender, self._message_options, self._smtputf8, self._recipients = None, MessageOptions(), False, []

    async def mail(self, path: Path) -> Reply:
        try:
            self._visit.submitter = submitter = await self._credentials.renewed(self._submitter(), self._visit.client)
        except LoginRefused as refused:
            maillog.login_refused(
                self._visit.id, client=self._visit.client, user=self._submitter().user, mechanism="", reason=str(refused)
            )
            return replies.LOG_IN_AGAIN
        if not path.address:
            return NULL_SENDER
        options = read_message_options(_words(path))
        unknown = set(path.parameters) - {"RET", "ENVID", "SMTPUTF8"}
        if unknown:
            return Reply(555, "5.5.4", f"MAIL parameter not recognized: {min(unknown)[:40]}")
        try:
            sender = parse_address(path.address)
        except AddressError as error:
            return Reply(553, "5.1.7", f"The sender's address {error.reason}")
        # The same answer as for a message from a foreign domain, before the message has to be sent.
        await self._services.directory.sending_domain(submitter.service, sender)
        self._sender, self._message_options, self._smtputf8 = sender, options, "SMTPUTF8" in path.parameters
        return SENDER_OK

    async def rcpt(self, path: Path) -> Reply:
        if len(self._recipients) >= self._options.max_recipients:
            return replies.TOO_MANY_RECIPIENTS
        options = read_recipient_options(_words(path))
        unknown = set(path.parameters) - {"NOTIFY", "ORCPT"}
        if unknown:
            return Reply(555, "5.5.4", f"RCPT parameter not recognized: {min(unknown)[:40]}")
        if not path.address:
            return Reply(553, "5.1.3", "The recipient must be an address")
        try:
            # UTF-8 is taken from who did not say SMTPUTF8, too, as Postfix does: msmtp 1.8 never says it.
            recipient = parse_address(path.address)
        except AddressError as error:
            return Reply(553, "5.1.3", f"The recipient's address {error.reason}")
        self._recipients.append(MimeRecipient(recipient, options))
        return RECIPIENT_OK

    async def message(self, content: BinaryIO, size: int) -> Reply:
        services = self._services
        began = services.clock.monotonic()
        submission = self._submission(content, size)
        async with services.admission.place(size):
            accepted = await accept_mime(
                services.spool, services.directory, services.limits, submission,
                now=services.clock.now(), time_to_live=services.settings.time_to_live,
                admit=self._check_acs_limits,
            )  # fmt: skip
        self._counters.add("messages_accepted_total")
        self._counters.add("bytes_total", size)
        self._counters.add("accept_seconds_total", services.clock.monotonic() - began)
        already = "already " if accepted.replay else ""
        return Reply(250, "2.0.0", f"Ok: {already}queued as {accepted.operation_id}")

    def _check_acs_limits(self, domain: SendingDomain) -> None:
        limits = self._services.sandbox_limits
        if limits is not None:
            limits.check_send(managed=domain.managed, now=self._services.clock.monotonic())

    def _submission(self, content: BinaryIO, size: int) -> MimeSubmission:
        submitter = self._submitter()
        if self._sender is None:
            raise RuntimeError("the protocol let a message in without a sender")
        return MimeSubmission(
            service=submitter.service,
            envelope_from=self._sender,
            recipients=tuple(self._recipients),
            content=content.read() if size <= SMALL else content,
            size=size,
            host_name=self._options.host_name,
            options=self._message_options,
            smtputf8=self._smtputf8,
            user_name=submitter.user,
            key_limits=submitter.limits,
        )

    def _submitter(self) -> Submitter:
        if self._visit.submitter is None:
            raise RuntimeError("the protocol let somebody in who has not logged in")
        return self._visit.submitter


def _words(path: Path) -> list[str]:
    return [f"{name}={value}" for name, value in path.parameters.items()]
