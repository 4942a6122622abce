"""What the doctor must not show, whichever of the settings are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.doctor import subject_of

KEY = "c2VjcmV0IGtleSBvZiB0aGUgYWNjb3VudA=="
OF_A_KEY = f"DefaultEndpointsProtocol=https;AccountName=one;AccountKey={KEY};EndpointSuffix=core.windows.net"
SAS = "sv=2024-08-04&sig=c2lnbmF0dXJl"
OF_A_SAS = (
    "TableEndpoint=https://one.table.core.windows.net;QueueEndpoint=https://one.queue.core.windows.net;"
    f"BlobEndpoint=https://one.blob.core.windows.net;SharedAccessSignature={SAS}"
)


@pytest.mark.parametrize(("connection_string", "secret"), [(OF_A_KEY, KEY), (OF_A_SAS, SAS)])
@pytest.mark.parametrize("wrong", [{}, {"POSTRIDER_ROUTES": "carrier-pigeon"}, {"POSTRIDER_DNS": "not a server"}])
def test_secrets_have_the_credential_of_storage_when_delivery_is_set_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connection_string: str, secret: str, wrong: dict[str, str]
) -> None:
    subject = subject_of(monkeypatch, tmp_path, {"AzureWebJobsStorage": connection_string, **wrong})
    assert {connection_string, secret} <= set(subject.secrets())


@pytest.mark.parametrize(
    "wrong",
    [{"AzureWebJobsStorage": f"AccountName=one;AccountKey={KEY};TableEndpoint=no address"}, {"POSTRIDER_DNS": "no server"}],
)
def test_secrets_have_the_password_of_a_relay_when_something_else_is_set_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: dict[str, str]
) -> None:
    routes = {"POSTRIDER_ROUTES": "smarthost://customer:hunter2@relay.test:587"}
    assert "hunter2" in subject_of(monkeypatch, tmp_path, {**routes, **wrong}).secrets()
