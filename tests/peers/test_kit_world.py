"""The kit's local world: that it is one of its own, and that it does not fail in silence."""

from __future__ import annotations

import pytest

from tests.kit.peers import require
from tests.kit.world import World, WorldFailed, missing_reason, start_world

pytestmark = pytest.mark.peers


@pytest.fixture(autouse=True)
def azurite_is_installed() -> None:
    require(not missing_reason(), missing_reason())


def test_world_stopped_leaves_no_state(world: World) -> None:
    with start_world() as other:
        assert other.outbox.parent.is_dir()
        assert other.endpoint != world.endpoint

    assert not other.outbox.parent.exists()
    assert world.outbox.parent.is_dir()


def test_world_with_a_wrong_option_fails_with_what_was_said() -> None:
    with pytest.raises(WorldFailed, match=r"ended with 2(?s:.*)--port"), start_world("--port", "none"):
        pytest.fail("it started")


def test_world_whose_command_fails_is_not_passed_over() -> None:
    with (
        pytest.raises(WorldFailed, match=r"ended with 1(?s:.*)POSTRIDER_MX_PORT"),
        start_world(settings={"POSTRIDER_MX_PORT": "x"}),
    ):
        pytest.fail("it started")
