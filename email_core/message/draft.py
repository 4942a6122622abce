"""The message as its sender asked for it, before MIME: what `accept` stores and `prepare` composes.

A draft is stored as MessagePack, which msgspec writes from these classes without a schema of its own; a field that is
added later needs a default, so that drafts stored by an older version can still be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from email_core.message.address import Address


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file. `body` is its base64 text as `base64_body.rewrap` writes it, `size` what that decodes to, in bytes.

    With a `content_id` it is an inline part that the HTML shows as `cid:content_id`.
    """

    name: str
    content_type: str
    body: bytes
    size: int
    content_id: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that a message says; nothing in it has a line break that the sender could use to add a header.

    A long body is `long_text` or `long_html`, in UTF-8, in place of `text` or `html`: as a string it can take four times the
    memory.
    """

    sender: Address
    subject: str
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    text: str | None = None
    html: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    message_id: str = ""
    tracking_disabled: bool = False
    long_text: bytes = b""
    long_html: bytes = b""
    time_to_live: float = 0.0  # seconds a deferred recipient is tried; 0: the installation's

    @property
    def needs_smtputf8(self) -> bool:
        """Whether its header holds UTF-8, so that every recipient's server must offer SMTPUTF8 (RFC 6531 section 3.1)."""
        return any(address.needs_smtputf8 for address in (self.sender, *self.to, *self.cc, *self.reply_to))


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Draft)


def encode_draft(draft: Draft) -> bytes:
    """The stored form of a draft."""
    return _encoder.encode(draft)


def decode_draft(stored: bytes) -> Draft:
    """The draft of a stored form. Raises msgspec.DecodeError when the bytes are not one."""
    return _decoder.decode(stored)
