"""Reading the body of a management request: what is no object where one belongs is told, and once."""

from __future__ import annotations

from typing import Any

import pytest

from email_core.errors import RequestRefused
from email_core.management.fields import Fields


@pytest.mark.parametrize("value", [[], "text", 1, True])
def test_field_in_what_is_no_object_is_told_by_its_parent_once(value: Any) -> None:
    fields = Fields({"properties": value})
    assert fields.text("properties.username") is None
    assert fields.boolean("properties.inner.enabled") is None
    fields.read_only("properties.state", "Succeeded")
    with pytest.raises(RequestRefused) as refused:
        fields.finish()
    assert [fault.target for fault in refused.value.faults] == ["properties"]
    assert "must be an object" in refused.value.faults[0].message


def test_field_in_an_object_that_is_absent_or_null_is_absent() -> None:
    fields = Fields({"properties": None})
    assert fields.text("properties.username") is None
    assert fields.text("identity.type") is None
    fields.finish()
