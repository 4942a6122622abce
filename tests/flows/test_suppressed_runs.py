"""Runs that died before, and suppression: what is written down stays, and an operation tells what became of all recipients."""

from __future__ import annotations

from dataclasses import replace

import pytest

from email_core.delivery.ledger import concluded
from email_core.delivery.outcome import Disposition, Outcome
from email_core.delivery.spool import SUBMISSIONS, SpoolItem
from tests.flows.test_suppression import statuses
from tests.kit.pipeline import Noted, Pipeline, draft_to
from tests.kit.receiver import Receiver
from tests.kit.suppression import api_of, make_list, notice, suppress

pytestmark = pytest.mark.peers

ANN, BOB = "ann@fabrikam.test", "bob@fabrikam.test"


@pytest.mark.parametrize(
    ("first", "wanted", "status", "code"),
    [
        (Disposition.DELIVERED, "Delivered", "Succeeded", ""),
        (Disposition.BOUNCED, "Bounced", "Succeeded", ""),
        (Disposition.SUPPRESSED, "Suppressed", "Failed", "EmailDroppedAllRecipientsSuppressed"),
        (Disposition.DEFERRED, "Suppressed", "Failed", "EmailDroppedAllRecipientsSuppressed"),
    ],
)
async def test_message_whose_others_are_suppressed_after_a_run_that_died_ends_by_what_became_of_all(
    pipeline: Pipeline, sink: Receiver, first: Disposition, wanted: str, status: str, code: str
) -> None:
    """The run before wrote down what one of the two came to, and left its attempt open."""
    api = api_of(pipeline)
    path = await make_list(api, "all")
    accepted = await pipeline.accept(draft_to(ANN, BOB))
    pipeline.queues.noted.clear()
    row = await pipeline.row(accepted)
    facts = replace(row.facts, status="Succeeded")
    ledger = concluded(row.ledger, [Outcome(ANN, first)], now=pipeline.clock.now())
    await pipeline.services.spool.update(row, ledger=ledger, facts=facts)
    for address in (ANN, BOB):
        await suppress(api, path, address)
    notice(pipeline)

    await pipeline.work(Noted(SUBMISSIONS, SpoolItem(row.message), 0.0), dequeue_count=2)

    assert await statuses(pipeline, accepted) == {ANN: wanted, BOB: "Suppressed"}
    ended = await pipeline.row(accepted)
    assert (ended.facts.status, ended.facts.error_code, ended.ledger.finished) == (status, code, True)
    assert pipeline.queues.noted == []
    assert sink.asked == []
