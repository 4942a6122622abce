"""Admission of requests to send: how many a worker works on at once, so that a burst is refused before it is a collapse.

Each request in hand takes up to three times its size in memory, and two connections to storage. What comes on top waits for
its turn, and what would wait for too long is told to come again (503 with Retry-After), before its signature is checked or
its body is parsed. Nothing of it is stored then. The Functions host has read the body by that time, so what waits takes
memory as well: as many bytes of large requests again, and the small ones. Explanations of messages have places of their own.
"""

from __future__ import annotations

from email_core.delivery.capacity import Capacity
from email_core.settings import Settings

MOST_EXPLANATIONS = 4  # at once in a worker; the rows of one may have 13 MB of timelines, which is as many objects to build
ADMISSION_PATIENCE = 10.0  # seconds; what storage takes meanwhile is only late, and what waits is bounded in number and bytes


def admission(settings: Settings) -> Capacity:
    """The places for requests to send of one worker."""
    return Capacity(
        "requests", most=settings.max_sends_in_flight, most_bytes=settings.max_bytes_in_flight, patience=ADMISSION_PATIENCE
    )


def explanation_places() -> Capacity:
    """The places for explanations of one worker: who asks for many stories must not hold up the mail."""
    return Capacity("explanations", most=MOST_EXPLANATIONS, most_bytes=0, patience=ADMISSION_PATIENCE)
