"""Signs messages with OpenDKIM's own library, as its milter does: `python -m bench.programs.sign_opendkim KEY DOMAIN SELECTOR`.

The library is called by its C interface (libopendkim/dkim.h), one call for each header field and one for the body, so that
next to nothing of what is measured is Python.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from ctypes import CDLL, POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_void_p, create_string_buffer
from pathlib import Path

from bench.programs.tasks import body_hash, serve

LIBRARY = "libopendkim.so.11"
_CANON_RELAXED, _SIGN_RSASHA256 = 1, 1  # DKIM_CANON_RELAXED, DKIM_SIGN_RSASHA256
_FIELD = re.compile(rb"[^\r\n]+(?:\r\n[ \t][^\r\n]*)*")


class OpenDkim:
    """One handle of the library, and a signature for each call of `sign`."""

    def __init__(self, key: bytes, domain: str, selector: str) -> None:
        self._library = library = CDLL(LIBRARY)
        library.dkim_init.restype = c_void_p
        library.dkim_init.argtypes = [c_void_p, c_void_p]
        library.dkim_sign.restype = c_void_p
        library.dkim_sign.argtypes = [
            c_void_p, c_char_p, c_void_p, c_char_p, c_char_p, c_char_p, c_int, c_int, c_int, c_long, POINTER(c_int),
        ]  # fmt: skip
        for call in (library.dkim_header, library.dkim_body):
            call.argtypes = [c_void_p, c_char_p, c_size_t]
        library.dkim_eoh.argtypes = library.dkim_free.argtypes = [c_void_p]
        library.dkim_eom.argtypes = [c_void_p, POINTER(c_int)]
        library.dkim_getsighdr.argtypes = [c_void_p, c_char_p, c_size_t, c_size_t]
        self._handle = library.dkim_init(None, None)
        self._key, self._domain, self._selector = key, domain.encode(), selector.encode()
        self._field = create_string_buffer(4096)

    def sign(self, fields: list[bytes], body: bytes) -> bytes:
        """The value of a DKIM-Signature field. Raises RuntimeError with the status of the call that failed."""
        status = c_int()
        library = self._library
        job = library.dkim_sign(
            self._handle, b"bench", None, self._key, self._selector, self._domain,
            _CANON_RELAXED, _CANON_RELAXED, _SIGN_RSASHA256, -1, byref(status),
        )  # fmt: skip
        if not job:
            raise RuntimeError(f"dkim_sign returned {status.value}")
        try:
            for field in fields:
                _check("dkim_header", library.dkim_header(job, field, len(field)))
            _check("dkim_eoh", library.dkim_eoh(job))
            _check("dkim_body", library.dkim_body(job, body, len(body)))
            _check("dkim_eom", library.dkim_eom(job, None))
            _check("dkim_getsighdr", library.dkim_getsighdr(job, self._field, len(self._field), 16))
            return self._field.value
        finally:
            library.dkim_free(job)


def _check(call: str, status: int) -> None:
    if status:
        raise RuntimeError(f"{call} returned {status}")


def main() -> None:
    path, domain, selector = sys.argv[1:]
    signer = OpenDkim(Path(path).read_bytes(), domain, selector)

    def work_on(message: bytes) -> Callable[[], bytes]:
        header, _, body = message.partition(b"\r\n\r\n")
        fields = _FIELD.findall(header)  # a milter is handed the fields one by one
        return lambda: signer.sign(fields, body)

    serve(work_on, body_hash)


if __name__ == "__main__":
    main()
