"""A reply as somebody found it in a log or a bounce: read, classified and explained, without a message around it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from email_core.delivery.bounce_classes import BEFORE_MAIL, BounceRule, Classification, bounce_rules, classify
from email_core.delivery.outcome import Disposition, Reply, Stage
from email_core.delivery.reply import accepted, parse_reply, printable, temporary_by_default
from email_core.explain.advice import NOBODY, Names, Situation, advise, class_meanings
from email_core.explain.explanation import ReplyExplanation, span

_line = re.compile(r"([2-5]\d\d)(?:[ -](.*))?", re.ASCII)
_STATUS = {
    Disposition.BOUNCED: "Bounced",
    Disposition.FILTERED: "FilteredSpam",
    Disposition.FAILED: "Failed",
    Disposition.DEFERRED: "Deferred",
}


class ReplyUnreadable(Exception):
    """The text is no reply; says the rule and what to write instead."""


def read_reply(text: str) -> Reply:
    r"""A reply as a person writes it: `550 5.1.1 User unknown`, with its lines joined by line ends or by `\n`.

    The code need not be repeated in every line. Raises ReplyUnreadable.
    """
    lines = [line.strip() for line in printable(text.replace("\\r", "").replace("\\n", "\n")).split("\n") if line.strip()]
    first = _line.fullmatch(lines[0]) if lines else None
    if first is None:
        raise ReplyUnreadable(
            "a reply begins with its three digits, the first of them 2 to 5, and a blank; write it as the server did: "
            "--reply '550 5.1.1 User unknown'"
        )
    code = first[1]
    texts = [first[2] or ""]
    for line in lines[1:]:
        repeated = _line.fullmatch(line)
        texts.append(repeated[2] or "" if repeated and repeated[1] == code else line)
    return parse_reply(int(code), texts)


def explain_reply(reply: Reply, stage: Stage, mx: str, *, pauses: Sequence[float], time_to_live: float) -> ReplyExplanation:
    """What a reply at that stage means and what follows. `mx` is who said it, empty when that is not known.

    `pauses` and `time_to_live` are in seconds: the retry schedule of an installation.
    """
    if accepted(reply) or reply.code == 354:
        return _yes(reply, stage, mx)
    verdict = classify(reply, stage=stage, mx_host=mx)
    retried = verdict.disposition is Disposition.DEFERRED
    situation = Situation(
        status=_STATUS.get(verdict.disposition, "Failed"),
        final=not retried,
        bounce_class=verdict.bounce_class,
        rule=verdict.rule,
        enhanced=reply.enhanced,
        reply=str(reply),
        route="smarthost" if stage is Stage.AUTH else "mx",  # we log in at relays only
    )
    pause = max(verdict.retry_after, pauses[0])
    names = Names(host=mx.rstrip(".") or NOBODY.host, again=f"after about {span(pause)}")
    advice = advise(situation, names)
    rule = next((rule for rule in bounce_rules() if rule.name == verdict.rule), None)
    return ReplyExplanation(
        reply=str(reply),
        stage=stage,
        mx=mx,
        bounce_class=verdict.bounce_class,
        class_meaning=class_meanings().get(verdict.bounce_class, ""),
        rule=verdict.rule,
        disposition=verdict.disposition,
        meaning=advice.meaning,
        retried=retried,
        next=_next(reply, stage, verdict, pauses, time_to_live),
        what_to_do=advice.sender,
        for_operator=advice.operator,
        pause=pause if retried else 0.0,
        suppress=verdict.suppress,
        suppress_after=rule.suppress_after if rule and verdict.suppress else 1,
        suppression=_suppression(rule, verdict),
    )


def _yes(reply: Reply, stage: Stage, mx: str) -> ReplyExplanation:
    """A reply that refuses nothing has no bounce class."""
    last = stage is Stage.FINAL_DOT and accepted(reply)
    meaning = (
        "The server took the message and answers for it from here on. That is no proof that it was read."
        if last
        else "The server agrees and waits for the next command. Only a yes after the message (final-dot) delivers it."
    )
    return ReplyExplanation(
        reply=str(reply),
        stage=stage,
        mx=mx,
        bounce_class="",
        class_meaning="",
        rule="",
        disposition=Disposition.DELIVERED if last else "",
        meaning=meaning,
        retried=False,
        next="Nothing: this is final." if last else "The conversation goes on.",
        what_to_do="Nothing.",
        for_operator="Nothing.",
        suppression="The address stays in use.",
    )


def _next(reply: Reply, stage: Stage, verdict: Classification, pauses: Sequence[float], time_to_live: float) -> str:
    if verdict.disposition is not Disposition.DEFERRED:
        return "It is not tried again: a reply that begins with 5 is a refusal for good."
    if temporary_by_default(reply):
        why = "A reply that begins with 4 is a refusal for the moment"
    elif stage in BEFORE_MAIL:
        why = "It came before the message was offered, so it is about us or the server and not about the mail"
    else:
        why = "It passes, though it begins with 5"
    wanted = verdict.retry_after
    first = max(wanted, pauses[0])
    asked = f", the pause that the server or the rule asks for (at least {span(wanted)})" if wanted > pauses[0] else ""
    further = ", ".join(span(max(pause, wanted)) for pause in pauses[1:] if pause > wanted)
    then = f", then after {further}" if further else ""
    return (
        f"{why}: it is tried again after about {span(first)}{asked}{then}, and the last pause repeats, until "
        f"{span(time_to_live)} after it was accepted. Each pause is up to a fifth longer or shorter."
    )


def _suppression(rule: BounceRule | None, verdict: Classification) -> str:
    if rule is None or not verdict.suppress:
        return "The address stays in use: this answer does not say that it takes no mail."
    count = "" if rule.suppress_after == 1 else f", once it came for {rule.suppress_after} messages"
    return (
        f"The address takes no mail{count}: it goes onto the managed suppression list for 24 hours. Each message to it "
        "meanwhile is held back and makes that longer: 48 hours, 96 hours, 7 days, 14 days. Then it is tried again."
    )
