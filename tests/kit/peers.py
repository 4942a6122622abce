"""Peers: real programs that a test talks to. A user's machine may lack one; our own CI may not."""

from __future__ import annotations

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the test when its peer is missing, but fail it in CI, where a peer that is missing is a hole in the tests."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must have it: {reason}", pytrace=False)
    pytest.skip(reason)
