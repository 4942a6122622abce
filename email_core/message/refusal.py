"""A message that came by SMTP and is not taken: what its client is told, and apart from it the reason for the log."""

from __future__ import annotations

MALFORMED = (554, "5.6.0")  # RFC 3463 section 3.7: something is wrong with the content
NOT_ALLOWED = (550, "5.7.1")  # RFC 3463 section 3.8: it may not be sent in this way or by this sender
BAD_PARAMETER = (501, "5.5.4")  # RFC 3463 section 3.6: a parameter of a command
BAD_CHARACTER = (554, "5.6.11")  # RFC 7103 section 7.1 and IANA: bare CR, bare LF, NUL
TOO_LARGE = (552, "5.3.4")  # RFC 3463 section 3.4
LOOP = (554, "5.4.6")  # RFC 3463 section 3.5


class MessageRefused(Exception):
    """A message, or a command about it, that is refused for what it is; the same again gets the same answer.

    `code` is the SMTP reply code, `enhanced` the status code of RFC 3463. `text` goes to the client: it is ASCII in one line,
    names cause and remedy, and quotes nothing of the message. `reason` is for the log only.
    """

    def __init__(self, kind: tuple[int, str], text: str, *, reason: str = "") -> None:
        code, enhanced = kind
        super().__init__(f"{code} {enhanced} {reason or text}")
        self.code = code
        self.enhanced = enhanced
        self.text = text
        self.reason = reason
