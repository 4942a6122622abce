"""Fixtures for every test."""

from tests.kit.azurite import azurite  # noqa: F401
from tests.kit.knot import knot  # noqa: F401
from tests.kit.pipeline import pipeline, sink  # noqa: F401
from tests.kit.postfix import postfix  # noqa: F401
from tests.kit.world import world  # noqa: F401
