"""Whatever a request holds: it makes a clean draft or is refused as the caller's fault, and nothing else happens."""

from __future__ import annotations

import base64
import copy
import json
import unicodedata
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.data_plane.error_body import error_body
from email_core.data_plane.send_request import parse_send_request
from email_core.errors import RequestRefused
from email_core.message.compose import compose
from email_core.message.draft import Draft, decode_draft, encode_draft
from tests.unit.data_plane.requests import attachment, message, parse

COMPLETE = message(
    senderDisplayName="Contoso",
    recipients={
        "to": [{"address": "jane@fabrikam.example", "displayName": "Jane"}],
        "cc": [{"address": "joe@fabrikam.example"}],
        "bcc": [{"address": "zoë@bücher.example"}],
    },
    replyTo=[{"address": "support@contoso.example", "displayName": "Support"}],
    headers={"X-Campaign": "42", "Message-ID": "<a@b.example>", "x-priority": "1"},
    attachments=[attachment(contentId="dot"), attachment(name="a.txt", contentType="text/plain; charset=utf-8")],
    userEngagementTrackingDisabled=True,
)

HOSTILE = "\r\n\t\0\x1b\x7f\x85\u2028\u2029\u202e\u2066\ufeff\u200b:;,<>()[]\\\"'@.=?%!/ éß\u0130\ud7ff\ue000😀"
hostile_text = st.text(st.one_of(st.sampled_from(HOSTILE), st.characters(codec="utf-8")), max_size=40)
header_names = st.sampled_from(["X-A", "x-b", "List-Unsubscribe", "References", "Message-ID", "X-Priority", "Importance"])
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), hostile_text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(hostile_text, inner, max_size=4)),
    max_leaves=12,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a JSON document stands."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*path, key))


PATHS = list(paths(COMPLETE))


@st.composite
def mutated_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A valid request with up to three values replaced, taken out, or written into."""
    request = copy.deepcopy(COMPLETE)
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)):
        *above, last = path
        parent: Any = request
        try:
            for key in above:
                parent = parent[key]
            current = parent[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
        if not isinstance(parent, dict | list):
            continue
        kind = draw(st.sampled_from(["replace", "remove", "insert", "rename"]))
        if kind == "insert" and isinstance(current, str):
            at = draw(st.integers(0, len(current)))
            parent[last] = current[:at] + draw(hostile_text) + current[at:]
        elif kind == "rename" and isinstance(parent, dict):
            parent[draw(hostile_text)] = parent.pop(last)
        elif kind == "remove":
            del parent[last]
        else:
            parent[last] = draw(json_values)
    return request


def outcome(body: bytes) -> Draft | None:
    """The draft, or None for a refusal that is as it must be."""
    try:
        return parse_send_request(body, max_recipients=50)
    except RequestRefused as refused:
        assert refused.status == 400
        assert refused.retry_after is None
        assert 1 <= len(refused.faults) <= 50
        assert all(fault.message.isprintable() and fault.target.isprintable() for fault in refused.faults)
        assert json.loads(error_body(refused))["error"]["code"] == refused.faults[0].code
        return None


def assert_clean(draft: Draft) -> None:
    """Nothing that will stand in a header or an SMTP command can end its line, and the draft is fit for what comes next."""
    people = (draft.sender, *draft.to, *draft.cc, *draft.bcc, *draft.reply_to)
    bound = [draft.subject, draft.message_id]
    bound += [text for person in people for text in (person.local, person.domain, person.display_name)]
    bound += [text for field in draft.headers for text in field]
    bound += [text for file in draft.attachments for text in (file.name, file.content_type, file.content_id)]
    for text in bound:
        assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)
    for file in draft.attachments:
        assert file.body.replace(b"\r\n", b"").isascii()
        assert not {"/", "\\"} & set(file.name)
    assert 1 <= len(draft.to) + len(draft.cc) + len(draft.bcc) <= 50
    assert draft.text or draft.html
    assert decode_draft(encode_draft(draft)) == draft
    # What is accepted can be composed: no draft may be refused once the caller was told 202.
    assert compose(draft, message_id=draft.message_id or "<a@b.example>", date=0.0)


def test_complete_request_of_the_fuzzer_is_valid() -> None:
    assert_clean(parse(COMPLETE))


@settings(max_examples=400, deadline=None)
@given(mutated_requests(), st.booleans())
def test_mutated_request_is_clean_or_refused(request_: dict[str, Any], escape: bool) -> None:
    draft = outcome(json.dumps(request_, ensure_ascii=escape).encode("utf-8", "surrogatepass"))
    if draft is not None:
        assert_clean(draft)


@settings(max_examples=200, deadline=None)
@given(json_values)
def test_any_json_is_refused(value: Any) -> None:
    assert outcome(json.dumps(value).encode()) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(body: bytes) -> None:
    assert outcome(body) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_request_with_changed_bytes_is_clean_or_refused(data: st.DataObject) -> None:
    body = bytearray(json.dumps(COMPLETE, ensure_ascii=data.draw(st.booleans())).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        length = data.draw(st.integers(0, 3))
        body[at : at + length] = data.draw(st.binary(max_size=4))
    draft = outcome(bytes(body))
    if draft is not None:
        assert_clean(draft)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.one_of(hostile_text, header_names), hostile_text, max_size=4))
def test_headers_of_any_text_are_clean_or_refused(headers: dict[str, str]) -> None:
    draft = outcome(json.dumps(message(headers=headers)).encode())
    if draft is not None:
        assert_clean(draft)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["plain", "lines", "slashes"]))
def test_attachment_of_any_bytes_is_kept_bit_by_bit(content: bytes, form: str) -> None:
    encoded = base64.encodebytes(content).decode() if form == "lines" else base64.b64encode(content).decode()
    body = json.dumps(message(attachments=[attachment(contentInBase64=encoded)]))
    draft = outcome((body.replace("/", "\\/") if form == "slashes" else body).encode())
    assert draft is not None
    (file,) = draft.attachments
    assert (base64.b64decode(file.body), file.size) == (content, len(content))
