"""A message that came by SMTP, as `accept_mime` stores it: its bytes, and what its client asked for.

It is stored as a MessagePack array; a `Draft` is a map. The first octet tells them apart, and no bytes are copied for it.
"""

from __future__ import annotations

import msgspec

from email_core.message.address import Address
from email_core.message.draft import Draft, decode_draft


class MimeDraft(msgspec.Struct, frozen=True, array_like=True, tag="mime"):
    """A message whose header was checked and mended. New fields go at the end, with a default: old ones must be readable.

    `message` is what is signed: CRLF only, without Bcc, with Date and Message-ID, its bodies as they came. `sender` is the
    mailbox of its From, `message_id` its Message-ID with angle brackets.
    """

    message: bytes
    sender: Address
    message_id: str
    tracking_disabled: bool = False
    time_to_live: float = 0.0  # seconds a deferred recipient is tried; 0: the installation's


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(MimeDraft)


def encode_mime_draft(draft: MimeDraft) -> bytes:
    """The stored form of a message that came by SMTP."""
    return _encoder.encode(draft)


def decode_stored(stored: bytes) -> Draft | MimeDraft:
    """The draft of a stored form, whichever door it came by. Raises msgspec.DecodeError when the bytes are none."""
    return _decoder.decode(stored) if _is_array(stored) else decode_draft(stored)


def _is_array(stored: bytes) -> bool:
    # fixarray, array 16 and array 32 of the MessagePack specification.
    return 0x90 <= stored[0] <= 0x9F or stored[0] in (0xDC, 0xDD) if stored else False
