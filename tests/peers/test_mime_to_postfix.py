"""A message that came by SMTP, stored by a real Postfix and judged by mailauth: signed, aligned, and its text unharmed."""

from __future__ import annotations

import email
import email.policy

import pytest

from tests.kit.knot import Knot
from tests.kit.mime_submission import mime, submit
from tests.kit.pipeline import DOMAIN, Pipeline
from tests.kit.postfix import Postfix
from tests.peers.test_mail_to_postfix import judged, pipeline, reverse_path_of

pytestmark = pytest.mark.peers
__all__ = ["pipeline"]

TEXTS = {
    "plain": ("Hello.\r\n", {}),
    "blanks": (" \t \r\n.\r\n..\r\n" * 100 + "\r\n" * 300, {}),
    "8bit": ("Grüße aus Köln, \r\nFrom here to there.\r\n" * 20, {"Content_Type": "text/plain; charset=utf-8"}),
    "no-mime-8bit": ("Ещё одно письмо.\r\n", {}),
    "folded": ("x\r\n", {"From": f'"Doe, Jane"\r\n\t(comment)\r\n <news@{DOMAIN}>', "Subject": "a\r\n\tb\r\n  c"}),
}


@pytest.mark.parametrize("kind", sorted(TEXTS))
async def test_mime_message_stored_by_postfix_passes_dkim_twice_spf_and_dmarc(
    pipeline: Pipeline, postfix: Postfix, knot: Knot, kind: str
) -> None:
    text, fields = TEXTS[kind]
    accepted = await submit(pipeline, mime(text, **fields), postfix.address("user"))
    await pipeline.drain()
    row = await pipeline.row(accepted)
    assert [str(entry.status) for entry in row.ledger.entries] == ["Delivered"]
    stored = await postfix.message(row.facts.message_id)
    verdict = await judged(stored, knot, reverse_path_of(stored))

    assert [(each["result"], each["algorithm"], each["aligned"]) for each in verdict["dkim"]] == [
        ("pass", "rsa-sha256", DOMAIN),
        ("pass", "ed25519-sha256", DOMAIN),
    ]
    assert (verdict["spf"]["result"], verdict["dmarc"]["result"]) == ("pass", "pass")
    payload = email.message_from_bytes(stored, policy=email.policy.default).get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.replace(b"\r\n", b"\n").rstrip() == text.replace("\r\n", "\n").encode().rstrip()
