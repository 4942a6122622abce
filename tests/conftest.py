"""Fixtures for every test."""

import pytest
from hypothesis import settings

from tests.kit.administering import administered, command  # noqa: F401
from tests.kit.administration import api  # noqa: F401
from tests.kit.arm_world import arm_world, crowd  # noqa: F401
from tests.kit.azurite import azurite  # noqa: F401
from tests.kit.faulty_pipeline import installation  # noqa: F401
from tests.kit.knot import knot  # noqa: F401
from tests.kit.pipeline import pipeline, sink  # noqa: F401
from tests.kit.postfix import postfix  # noqa: F401
from tests.kit.smtp_relay import relay, relay_files  # noqa: F401
from tests.kit.token_issuer import issuer  # noqa: F401
from tests.kit.world import world  # noqa: F401

settings.register_profile("postrider", deadline=None)  # how long an example takes tells of the machine, not of the code
settings.load_profile("postrider")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes: where tests run side by side, the others fill the time beside it."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
