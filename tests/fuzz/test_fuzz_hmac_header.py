"""Whatever a caller sends instead of a signed request, the answer is "not mine" or a refusal, and never a pass."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from email_core.auth.hmac_access_key import AccessKey, SignedRequest, authorization_headers, verify
from email_core.errors import RequestRefused

NOW = 1_790_000_000.0
KEY = AccessKey("svca", "primary", bytes(range(32)))
HOST = "mail.example"
TARGET = "/emails:send?api-version=2025-09-01"
BODY = b"{}"
VALID = {name.lower(): value for name, value in authorization_headers("POST", TARGET, HOST, BODY, KEY.secret, NOW).items()}

# Everything a header or path can hold, lone surrogates included: the edge decodes bytes in ways that can leave some.
anything = st.text(st.characters(), max_size=200)
PIECES = (
    "HMAC-SHA256", " ", "SignedHeaders=", "x-ms-date", ";", "host", "x-ms-content-sha256", "date", "&", "Signature=", "=", ",",
    "A" * 43 + "=", VALID["authorization"], "\x00", "é", "\u017f", "\ud800", "\r\n",
)  # fmt: skip
header_like = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def answered(request: SignedRequest) -> str:
    try:
        return "passed" if verify(request, [KEY], now=NOW) else "not mine"
    except RequestRefused as refusal:
        assert refusal.status == 401
        assert refusal.faults[0].code == "Denied"
        return "refused"


def test_valid_request_passes():
    assert answered(SignedRequest("POST", TARGET, [HOST], VALID, BODY)) == "passed"


@settings(max_examples=400, deadline=None)
@given(st.one_of(anything, header_like, header_like.map(lambda text: f"HMAC-SHA256 {text}")))
@example("HMAC-SHA256 " + "=" * 10_000)
@example("\ud800 \udfff")
@example(VALID["authorization"].replace("S", "\u017f", 1))
def test_any_authorization_but_the_valid_one_does_not_pass(authorization):
    headers = {**VALID, "authorization": authorization}
    passed = answered(SignedRequest("POST", TARGET, [HOST], headers, BODY)) == "passed"
    assert passed == (authorization == VALID["authorization"])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["x-ms-date", "x-ms-content-sha256"]), anything)
def test_any_other_signed_header_is_refused(name, value):
    passed = answered(SignedRequest("POST", TARGET, [HOST], {**VALID, name: value}, BODY)) == "passed"
    assert passed == (value == VALID[name])


@settings(max_examples=300, deadline=None)
@given(anything, anything, st.lists(anything, max_size=6), st.binary(max_size=50))
def test_any_method_target_hosts_and_body_are_refused_or_pass_as_signed(method, target, hosts, body):
    outcome = answered(SignedRequest(method, target, hosts, VALID, body))
    assert outcome == "refused" or (method.upper(), body) == ("POST", BODY)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*VALID, "host", "x-forwarded-host"]), st.one_of(anything, header_like), max_size=5))
def test_any_headers_are_answered(headers):
    assert answered(SignedRequest("POST", TARGET, [HOST], headers, BODY)) in ("refused", "not mine")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(VALID)), st.integers(0, 200), st.characters())
def test_one_changed_character_of_any_signed_header_is_refused(name, index, character):
    text = VALID[name]
    index %= len(text)
    changed = text[:index] + character + text[index + 1 :]
    outcome = answered(SignedRequest("POST", TARGET, [HOST], {**VALID, name: changed}, BODY))
    # Letter case means nothing in the scheme and the names of headers, and everything in a signature.
    free = (
        name == "authorization" and index < text.index("&Signature=") + len("&Signature=") and changed.lower() == text.lower()
    )
    assert (outcome == "passed") == (changed == text or free)
