"""Every operation of the management plane through the official, unmodified clients: two versions in Python, one in JavaScript.

What single answers are like is in `test_official_arm_answers`; here everything is made, asked for, changed and deleted.
"""

from __future__ import annotations

import json
import sys
import uuid

import pytest
from azure.mgmt.communication import __version__ as newest
from azure.mgmt.communication import models

from tests.kit.arm_client import OFFICIAL, Wire, Witness, note, older_python_client, statuses_of_walk
from tests.kit.arm_walk import Walk
from tests.kit.arm_world import GROUP, ArmWorld, crowd_names, new_domain
from tests.kit.peers import require
from tests.kit.world import ROOT

pytestmark = [pytest.mark.peers, pytest.mark.timeout(240)]


def of_acs(seen: dict[str, set[int]]) -> dict[str, set[int]]:
    """What was answered to operations of ACS; clients also follow those that they began."""
    return {name: statuses for name, statuses in seen.items() if name in OFFICIAL}


def assert_followed(seen: dict[str, set[int]]) -> None:
    assert seen["OperationStatuses_Get"] == {200}
    assert seen["OperationResults_Get"] <= {202, 204}
    assert set(seen) == {*OFFICIAL, "OperationStatuses_Get", "OperationResults_Get"}


def test_python_client_calls_every_operation_that_there_is_and_no_other(arm_world: ArmWorld) -> None:
    wire, subscription = Wire(), str(uuid.uuid4())
    witness = Witness(arm_world.client(subscription, per_call_policies=[wire]))
    Walk(witness, models, subscription, GROUP, new_domain()).all()

    assert (newest, len(OFFICIAL)) == ("3.0.0", 41)
    assert witness.called == witness.methods
    assert len(witness.methods) == len(OFFICIAL)
    assert of_acs(wire.seen) == statuses_of_walk()
    assert_followed(wire.seen)


def test_older_python_client_calls_every_operation(arm_world: ArmWorld) -> None:
    environment = {"PYTHONPATH": str(older_python_client()), "AZURE_SUBSCRIPTION_ID": str(uuid.uuid4())}
    command = (sys.executable, "-m", "tests.kit.arm_walk", GROUP, new_domain())
    done = arm_world.world.run(*command, timeout=100.0, **environment)
    assert (done.returncode, done.stderr) == (0, "")

    told = json.loads(done.stdout)
    assert told["version"] == "2.2.0"
    assert told["called"] == told["methods"]
    assert of_acs({name: set(statuses) for name, statuses in told["seen"].items()}) == statuses_of_walk()
    assert_followed({name: set(statuses) for name, statuses in told["seen"].items()})


def test_javascript_client_calls_every_operation_and_follows_pages(arm_world: ArmWorld, crowd: tuple[str, str]) -> None:
    require(
        (ROOT / "node_modules" / "@azure" / "arm-communication").is_dir(), "@azure/arm-communication is not installed: npm ci"
    )
    environment = {
        "AZURE_SUBSCRIPTION_ID": str(uuid.uuid4()),
        "CROWD_SUBSCRIPTION": crowd[0], "CROWD_GROUP": GROUP, "CROWD_DOMAIN": crowd[1],
    }  # fmt: skip
    script = str(ROOT / "tests" / "kit" / "arm_walk.mjs")
    done = arm_world.world.run("node", script, GROUP, new_domain(), timeout=100.0, **environment)
    assert (done.returncode, done.stderr) == (0, "")

    told = json.loads(done.stdout)
    seen: dict[str, set[int]] = {}
    for method, url, status in told["seen"]:
        note(seen, method, url, status)
    assert of_acs(seen) == statuses_of_walk()
    assert_followed(seen)
    assert told["crowd"] == ["DoNotReply", *crowd_names()]
