"""The property `limits`: what is read of it, and every fault in it."""

from __future__ import annotations

import pytest

from email_core.management.fields import Fields
from email_core.management.limits_property import MOST, LimitValue, read_limits, shown_limits

ONE = {"unit": "messages", "window": "hour", "most": 100}


def read(value: object) -> tuple[tuple[LimitValue, ...] | None, list[str]]:
    fields = Fields({"properties": {"limits": value}})
    limits = read_limits(fields)
    return limits, [fault.target for fault in fields.faults]


def test_limits_are_read_and_shown_as_they_were_given() -> None:
    given = [ONE, {"unit": "recipients", "window": "day", "most": MOST}]
    limits, faults = read(given)

    assert (limits, faults) == ((LimitValue("messages", "hour", 100), LimitValue("recipients", "day", MOST)), [])
    assert shown_limits(limits or ()) == given


def test_limits_that_are_not_named_are_none_and_an_empty_array_is_no_limit() -> None:
    assert read(None) == (None, [])
    assert read([]) == ((), [])


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ({}, "properties.limits"),
        ("x", "properties.limits"),
        ([ONE] * 7, "properties.limits"),
        ([7], "properties.limits[0]"),
        ([ONE, ONE], "properties.limits[1]"),
        ([{**ONE, "unit": "bytes"}], "properties.limits[0].unit"),
        ([{**ONE, "window": "year"}], "properties.limits[0].window"),
        ([{**ONE, "most": 0}], "properties.limits[0].most"),
        ([{**ONE, "most": MOST + 1}], "properties.limits[0].most"),
        ([{**ONE, "most": True}], "properties.limits[0].most"),
        ([{**ONE, "most": "5"}], "properties.limits[0].most"),
        ([{"unit": "messages", "window": "hour"}], "properties.limits[0].most"),
        ([{}], "properties.limits[0].unit"),
    ],
)
def test_limit_that_is_wrong_is_named(value: object, target: str) -> None:
    limits, faults = read(value)

    assert faults[0] == target
    assert not limits or ONE in shown_limits(limits)
