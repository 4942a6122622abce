"""Hypothesis strategies for drafts: everything that a door lets in, the awkward rather than the ordinary."""

from __future__ import annotations

from hypothesis import strategies as st

from email_core.message.draft import Draft
from email_core.message.headers import check_attachment_name, check_custom_headers, check_display_name, check_subject
from tests.kit.drafts import an_address, an_attachment

# fmt: off
_PIECES = [
    "a", "Jane", "Doe", " ", "  ", ".", ",", ";", ":", "@", "<x@y.co>", '"', "\\", "'", "(", ")", "[", "]", "=", "_", "?", "=?",
    "?=", "=?utf-8?q?x?=", "=?utf-8?b?eA==?=", "é", "ü" * 30, "注文の確認", "😀", "👩\u200d💻", "e\u0301", "\u200fשלום", "\xa0",
    "\u3000", "%0d%0a", "a" * 70, "a" * 300, "word " * 20, "--", "utf-8''", "*0*", "From ", "=_", "\u00ad", "ﬁ",
]
_LINES = [
    "", "a", "From here", ".", "..", "--=_x", " ", "trailing ", "\ttab", "é", "注文の確認" * 30, "x" * 1200, "=3D", "a\x00b",
    "😀" * 40, "-- ", "ü" + "x" * 69 + " ",
]
# fmt: on

# What the doors refuse is left out; characters come from everywhere else.
_characters = st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"))
header_texts = st.lists(st.one_of(st.sampled_from(_PIECES), st.text(_characters, max_size=8)), max_size=8).map("".join)
display_names = header_texts.filter(lambda text: not check_display_name(text))
_locals = st.sampled_from(["jane", "j.doe+tag", "a" * 64, "customer/department=shipping", "jörg", "用户"])
addresses = st.builds(lambda local, name: an_address(f"{local}@example.org", name), _locals, display_names)

_body_lines = st.lists(
    st.one_of(st.sampled_from(_LINES), st.text(st.characters(exclude_categories=("Cs",)), max_size=40)), max_size=8
)
body_texts = st.builds(lambda lines, end: end.join(lines), _body_lines, st.sampled_from(["\n", "\r\n", "\r"]))

custom_headers = st.lists(
    st.tuples(st.from_regex(r"X-[A-Za-z0-9!#$_-]{1,20}", fullmatch=True), header_texts),
    max_size=3,
    unique_by=lambda h: h[0].lower(),
).filter(lambda headers: not check_custom_headers(headers))
attachments = st.builds(
    an_attachment,
    st.binary(max_size=300),
    header_texts.filter(lambda text: not check_attachment_name(text)),
    st.sampled_from(["application/pdf", "image/png", "text/plain", "application/vnd.ms-word.document.macroEnabled.12"]),
    st.sampled_from(["", "", "logo", "logo.png@example.com", "a%20b", "x" * 200]),
)
drafts = st.builds(
    Draft,
    sender=addresses,
    subject=header_texts.filter(lambda text: not check_subject(text)),
    to=st.lists(addresses, max_size=4).map(tuple),
    cc=st.lists(addresses, max_size=2).map(tuple),
    bcc=st.just((an_address("hidden@example.net", "Hidden"),)),
    reply_to=st.lists(addresses, max_size=2).map(tuple),
    text=st.none() | body_texts,
    html=st.none() | body_texts,
    headers=custom_headers.map(tuple),
    attachments=st.lists(attachments, max_size=3).map(tuple),
)
