"""Which api-versions are served."""

from __future__ import annotations

import pytest

from email_core.data_plane.api_version import API_VERSIONS, check_api_version
from email_core.errors import RequestRefused


@pytest.mark.parametrize(
    "version", ["2023-01-15-preview", "2023-03-31", "2024-07-01-preview", "2025-01-15-preview", "2025-09-01"]
)
def test_api_version_of_an_official_client_is_accepted(version: str) -> None:
    assert check_api_version(version) == version


def test_api_version_in_another_case_is_the_same_version() -> None:
    assert check_api_version("2025-01-15-Preview") == "2025-01-15-preview"


@pytest.mark.parametrize("value", [None, ""])
def test_api_version_that_is_missing_is_refused_with_the_list(value: str | None) -> None:
    with pytest.raises(RequestRefused) as caught:
        check_api_version(value)
    (fault,) = caught.value.faults
    assert (caught.value.status, fault.code) == (400, "MissingApiVersionParameter")
    assert fault.message.startswith("The api-version query parameter (?api-version=) is required for all requests")
    assert all(version in fault.message for version in API_VERSIONS)


@pytest.mark.parametrize("value", ["2021-10-01-preview", "2025-09-02", "latest", " 2025-09-01", "2025-09-01\r\nX: y"])
def test_api_version_that_is_unknown_is_refused_with_the_list(value: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        check_api_version(value)
    (fault,) = caught.value.faults
    assert (caught.value.status, fault.code) == (400, "UnsupportedApiVersionValue")
    assert all(version in fault.message for version in API_VERSIONS)
    assert fault.message.isprintable()
