"""Documents as they are stored: what an older version wrote, and what they say of a domain."""

from __future__ import annotations

import json

import msgspec
import pytest

from email_core.domains.documents import (
    MAIL_FROM,
    REQUIRED,
    DomainDocument,
    StateDocument,
    Status,
    decode_document,
)

VERIFIED = StateDocument(status=Status.VERIFIED)
OLD = {
    "id": "/x", "name": "contoso.test", "domainManagement": "CustomerManaged", "fromSenderDomain": "contoso.test",
    "verificationToken": "token", "verificationStates": {"Domain": "Verified", "DMARC": "NotStarted"},
}  # fmt: skip


def domain(**changes) -> DomainDocument:
    fields = {
        "id": "/x", "name": "contoso.test", "domain_management": "CustomerManaged", "from_sender_domain": "contoso.test",
        "verification_token": "token",
    }  # fmt: skip
    return DomainDocument(**(fields | changes))


def test_document_with_states_of_one_word_is_read_as_it_was_meant():
    document = decode_document(json.dumps(OLD), DomainDocument)
    assert document.state("Domain") == VERIFIED
    assert document.state("DMARC") == document.state("SPF") == StateDocument()
    assert decode_document(msgspec.json.encode(document).decode(), DomainDocument) == document


@pytest.mark.parametrize("states", [{"Domain": "Perhaps"}, {"Domain": 7}, ["Verified"], "Verified"])
def test_document_with_states_that_are_none_is_not_read(states):
    with pytest.raises(msgspec.MsgspecError):
        decode_document(json.dumps(OLD | {"verificationStates": states}), DomainDocument)


def test_domain_is_verified_once_all_but_dmarc_are():
    states = dict.fromkeys(REQUIRED, VERIFIED)
    assert domain(verification_states=states).verified
    for kind in REQUIRED:
        assert not domain(verification_states={**states, kind: StateDocument(status=Status.IN_PROGRESS)}).verified


def test_domain_names_the_records_that_it_lost_in_their_order():
    lost = StateDocument(status=Status.VERIFIED, lost_since=5.0)
    assert domain(verification_states={"DMARC": lost, "SPF": lost, "DKIM": VERIFIED}).lost == ("SPF", "DMARC")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, ""),
        (StateDocument(status=Status.IN_PROGRESS), ""),
        (VERIFIED, "bounce.contoso.test"),
        (StateDocument(status=Status.VERIFIED, lost_since=5.0), ""),
    ],
)
def test_domain_has_a_reverse_path_of_its_own_while_its_records_are_seen(state, expected):
    document = domain(mail_from_sender_domain="bounce.contoso.test", verification_states={MAIL_FROM: state} if state else {})
    assert document.reverse_path_domain == expected
