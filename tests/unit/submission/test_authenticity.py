"""Messages that brought signatures: what is asked of the DNS, what is reported, and when they are sealed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from email_core.dns.answers import Answer, Found
from email_core.domains.dkim_keys import public_record
from email_core.signing.dkim import SigningError, sign
from email_core.submission import authenticity as module
from email_core.submission.authenticity import authenticity, brought_signatures, key_records, signed_and_sealed
from tests.kit.dns_zone import SERVFAIL, Zone, ZoneResolver
from tests.unit.signing.oracle import BOTH_KEYS, ED25519_KEY, GOLDEN, RSA_KEY, WEEK

NOW = 1_790_000_000.0
MOST_SECONDS = 2.0  # of CPU, on a busy machine; alone each takes a tenth to a half, and what is quadratic takes minutes
US = "postrider.test"
PLAIN = (GOLDEN / "01-plain.msg").read_bytes()
FOREIGN = sign(PLAIN, BOTH_KEYS, now=NOW, valid_for=WEEK) + PLAIN
ZONE: Zone = {str(key): {"TXT": ["v=spf1 -all", public_record(key.private_key)]} for key in BOTH_KEYS}


async def passed(message: bytes, zone: Zone = ZONE, keys=BOTH_KEYS) -> tuple[bytes, str, dict[str, object]]:  # type: ignore[no-untyped-def]
    """The message as it leaves us, and the event that tells of it."""
    found = await authenticity(message, ZoneResolver(zone), now=NOW)
    signed, event = signed_and_sealed(message, found, keys, authserv_id=US, now=NOW, valid_for=WEEK)
    return signed, event.kind if event else "", event.facts if event else {}


async def test_message_without_signatures_asks_nobody_and_gets_no_results() -> None:
    resolver = ZoneResolver(ZONE)
    found = await authenticity(PLAIN, resolver, now=NOW)
    signed, event = signed_and_sealed(PLAIN, found, BOTH_KEYS, authserv_id=US, now=NOW, valid_for=WEEK)

    assert (resolver.questions, event) == ([], None)
    assert signed.endswith(PLAIN)
    assert b"Authentication-Results" not in signed


async def test_message_with_a_signature_is_reported_signed_and_sealed_in_that_order() -> None:
    signed, kind, facts = await passed(FOREIGN)

    names = [line.partition(b":")[0] for line in signed.split(b"\r\n\r\n")[0].split(b"\r\n") if line[:1] not in b" \t"]
    assert names[:6] == [
        b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results", b"Authentication-Results", b"DKIM-Signature",
        b"DKIM-Signature",
    ]  # fmt: skip
    assert signed.endswith(FOREIGN)
    assert (kind, facts["arc"], facts["instance"]) == ("arc-sealed", "none", 1)
    assert facts["dkim"] == ["pass football.example.com"] * 2


async def test_message_passes_two_hops_with_a_growing_chain_and_one_result_of_ours() -> None:
    once, _, _ = await passed(FOREIGN)
    twice, kind, facts = await passed(once)

    assert (kind, facts["arc"], facts["instance"]) == ("arc-sealed", "pass", 2)
    assert twice.count(b"\r\nAuthentication-Results: ") == 1
    assert b"arc=pass" in twice.split(b"ARC-Seal: i=1")[0]


async def test_results_name_nobody_who_logged_in_and_claim_nothing_about_spf() -> None:
    signed, _, _ = await passed(FOREIGN)

    assert b"auth=pass;" in signed
    assert b"smtp.auth" not in signed
    assert b"spf=" not in signed


async def test_forged_results_of_ours_are_taken_out_before_anything_is_signed() -> None:
    forged = b"Authentication-Results: postrider.test; dkim=pass header.d=bank.example\r\n"
    signed, _, _ = await passed(forged + PLAIN)

    assert b"bank.example" not in signed


async def test_broken_chain_goes_out_signed_and_reported_and_unsealed() -> None:
    once, _, _ = await passed(FOREIGN)
    signed, kind, facts = await passed(once + b"added by a list\r\n")

    assert (kind, facts["arc"]) == ("arc-unsealed", "fail")
    assert "body was changed" in str(facts["why"])
    assert signed.count(b"ARC-Seal:") == 1
    assert b'arc=fail reason="message signature 1: the body was changed"' in signed.replace(b"\r\n ", b" ")


@pytest.mark.parametrize("trouble", [SERVFAIL, {"TXT": SERVFAIL}], ids=["name", "type"])
async def test_chain_whose_key_nobody_could_look_up_goes_out_unsealed(trouble: object) -> None:
    once, _, _ = await passed(FOREIGN)
    signed, kind, facts = await passed(once, {str(RSA_KEY): trouble, str(ED25519_KEY): trouble})  # type: ignore[dict-item]

    assert (kind, facts["arc"]) == ("arc-unsealed", "unknown")
    assert signed.count(b"ARC-Seal:") == 1
    ours = signed.split(b"DKIM-Signature")[0]
    assert b"dkim=temperror" in ours
    assert b"arc=" not in ours


async def test_look_up_that_takes_too_long_is_given_up_and_the_rest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_UP_SECONDS", 0.05)

    class Slow(ZoneResolver):
        async def txt(self, domain: str) -> Answer[str]:
            if domain == "slow.test":
                await asyncio.Event().wait()
            return Found(("p=x",), 60.0)

    assert await key_records(["slow.test", "quick.test"], Slow({})) == {"quick.test": "p=x"}


async def test_records_without_a_key_count_as_none() -> None:
    zone: Zone = {"a.test": {"TXT": ["v=spf1 -all"]}, "b.test": {}, "d.test": SERVFAIL}

    assert await key_records(["a.test", "b.test", "c.test", "d.test"], ZoneResolver(zone)) == {
        "a.test": None, "b.test": None, "c.test": None,
    }  # fmt: skip


async def test_message_that_can_not_be_looked_at_goes_out_with_what_it_has() -> None:
    endless = b"".join(b"X-%d: y\r\n" % number for number in range(2000)) + FOREIGN
    signed, kind, facts = await passed(endless)

    assert kind == "arc-unsealed"
    assert "more than" in str(facts["why"])
    assert signed.endswith(FOREIGN)


async def test_domain_without_an_rsa_key_reports_and_does_not_seal() -> None:
    signed, kind, facts = await passed(FOREIGN, keys=[ED25519_KEY])

    assert (kind, "RSA" in str(facts["why"])) == ("arc-unsealed", True)
    assert b"Authentication-Results: postrider.test;" in signed


async def test_message_that_can_not_be_signed_raises() -> None:
    with pytest.raises(SigningError, match="From"):
        await passed(b"Subject: x\r\n\r\nbody\r\n")


async def test_ten_hostile_megabytes_cost_little_and_are_judged_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    message = FOREIGN[: FOREIGN.index(b"\r\n\r\n") + 4] + b" " * 10_000_000
    threads = []

    def noting(original: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **named: Any) -> Any:
            threads.append(threading.current_thread())
            return original(*args, **named)

        return noted

    for name in ("read_message", "verify_dkim"):
        monkeypatch.setattr(module, name, noting(getattr(module, name)))
    begun = time.process_time()
    signed, kind, _ = await passed(message)

    assert kind == "arc-sealed"
    assert time.process_time() - begun < MOST_SECONDS
    assert len(threads) == 2
    assert threading.main_thread() not in threads  # the event loop goes on meanwhile
    assert signed.endswith(message)


async def test_signature_in_the_body_is_not_brought() -> None:
    assert not brought_signatures(PLAIN + b"DKIM-Signature: v=1\r\n")
    assert brought_signatures(FOREIGN)
    assert brought_signatures(b"arc-SEAL : i=1\r\n" + PLAIN)
    assert await authenticity(PLAIN, ZoneResolver({}), now=NOW) is None
