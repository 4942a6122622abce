"""The ErrorResponse of ACS: a refusal as the JSON body and the headers that the official clients read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from email_core.errors import Fault, RequestRefused

_encoder = msgspec.json.Encoder()

# RFC 9110 section 15.5.2: a 401 names at least one scheme, and none that is not taken here. Without parameters: the clients
# take a challenge with parameters for a demand to ask Entra for other claims.
_CHALLENGE = "HMAC-SHA256"


def error_body(refused: RequestRefused) -> bytes:
    """`{"error": {...}}` in UTF-8."""
    return _encoder.encode({"error": error_detail(refused.faults)})


def error_detail(faults: Sequence[Fault]) -> dict[str, object]:
    """An ErrorDetail: the first fault at the top, and all of them in `details` when there are several.

    Members without a value are left out, where ACS writes null: azure-core for Python and the JavaScript client read both
    the same, and a strict reader is happier without.
    """
    first = faults[0]
    detail = _detail(first)
    if len(faults) > 1:
        others = len(faults) - 1
        detail["message"] = f"{first.message} ({others} more {'fault' if others == 1 else 'faults'}: see details.)"
        detail["details"] = [_detail(fault) for fault in faults]
    return detail


def _detail(fault: Fault) -> dict[str, object]:
    detail: dict[str, object] = {"code": fault.code, "message": fault.message}
    if fault.target:
        detail["target"] = fault.target
    return detail


def error_headers(refused: RequestRefused) -> dict[str, str]:
    """The headers of the answer. `retry-after` stands on 429 and 503 alone: azure-core for Python repeats whatever has it."""
    headers = {"content-type": "application/json; charset=utf-8", "x-ms-error-code": refused.faults[0].code}
    if refused.retry_after is not None and refused.status in (429, 503):
        headers["retry-after"] = str(refused.retry_after)
    if refused.status == 401:
        headers["www-authenticate"] = _CHALLENGE
    return headers
