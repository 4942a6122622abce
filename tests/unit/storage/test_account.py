"""Which account, which endpoints and which credential the settings mean."""

from __future__ import annotations

import pytest

from email_core.settings import Secret, SettingsError, StorageSettings
from email_core.storage.account import Account, Identity, SharedAccess, SharedKey, account_of

KEY = "a2V5IG9mIHRoZSBhY2NvdW50"


def account(connection_string: str) -> Account:
    return account_of(StorageSettings(connection_string=Secret(connection_string)))


def test_connection_string_with_name_and_key_has_the_public_endpoints() -> None:
    assert account(
        f"DefaultEndpointsProtocol=https;AccountName=mail;AccountKey={KEY};EndpointSuffix=core.windows.net"
    ) == Account(
        "https://mail.table.core.windows.net",
        "https://mail.queue.core.windows.net",
        "https://mail.blob.core.windows.net",
        SharedKey("mail", b"key of the account"),
    )


def test_connection_string_of_another_cloud_has_its_endpoints() -> None:
    found = account(f"AccountName=mail;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn;")
    assert found.queue_endpoint == "https://mail.queue.core.chinacloudapi.cn"


def test_connection_string_with_endpoints_wins_over_the_name() -> None:
    found = account(
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=" + KEY + ";"
        "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1/;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1"
    )
    assert found.table_endpoint == "http://127.0.0.1:10002/devstoreaccount1"
    assert found.queue_endpoint == "http://127.0.0.1:10001/devstoreaccount1"
    assert found.blob_endpoint == "http://devstoreaccount1.blob.core.windows.net"


def test_connection_string_names_are_read_in_any_case_and_with_blanks() -> None:
    assert account(f" accountname=mail ; ACCOUNTKEY={KEY} ").credential == SharedKey("mail", b"key of the account")


def test_connection_string_of_the_emulator_means_its_documented_account() -> None:
    found = account("UseDevelopmentStorage=true")
    assert found.table_endpoint == "http://127.0.0.1:10002/devstoreaccount1"
    assert found.queue_endpoint == "http://127.0.0.1:10001/devstoreaccount1"
    assert found.blob_endpoint == "http://127.0.0.1:10000/devstoreaccount1"
    assert isinstance(found.credential, SharedKey)
    assert found.credential.account == "devstoreaccount1"
    assert len(found.credential.key) == 64


def test_connection_string_of_an_emulator_elsewhere_has_its_host() -> None:
    found = account("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite/")
    assert found.queue_endpoint == "http://azurite:10001/devstoreaccount1"


def test_connection_string_with_a_signature_keeps_it_without_its_question_mark() -> None:
    found = account("AccountName=mail;SharedAccessSignature=?sv=2020-12-06&sig=a%2Bb%3D")
    assert found.credential == SharedAccess("sv=2020-12-06&sig=a%2Bb%3D")


def test_account_name_means_the_identity_of_the_app() -> None:
    assert account_of(StorageSettings(account_name="mail")) == Account(
        "https://mail.table.core.windows.net",
        "https://mail.queue.core.windows.net",
        "https://mail.blob.core.windows.net",
        Identity(),
    )


def test_service_uris_mean_the_identity_of_the_app_and_win_over_the_name() -> None:
    found = account_of(StorageSettings(account_name="mail", client_id="c1", queue_uri="https://queues.corp.example/"))
    assert found.queue_endpoint == "https://queues.corp.example"
    assert found.table_endpoint == "https://mail.table.core.windows.net"
    assert found.credential == Identity("c1")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("mail", "Name=Value"),
        ("AccountName=mail", "AccountKey"),
        (f"AccountKey={KEY}", "AccountName"),
        ("AccountName=mail;AccountKey=%%%", "base64"),
        (f"AccountName=mail;AccountKey={KEY};TableEndpoint=mail.table.core.windows.net", "table endpoint"),
        (f"AccountName=mail;AccountKey={KEY};BlobEndpoint=https://x/?sv=1", "blob endpoint"),
        (f"AccountName=mail;AccountKey={KEY};DefaultEndpointsProtocol=ftp", "http or https"),
        ("UseDevelopmentStorage=false", "AccountName"),
    ],
)
def test_connection_string_that_is_wrong_is_refused_with_the_rule(text: str, rule: str) -> None:
    with pytest.raises(SettingsError, match=rule) as caught:
        account(text)
    assert KEY not in str(caught.value)
    assert "%%%" not in str(caught.value)


def test_settings_without_any_account_are_refused() -> None:
    with pytest.raises(SettingsError, match="accountName"):
        account_of(StorageSettings(queue_uri="https://mail.queue.core.windows.net"))


def test_identity_over_plain_http_is_refused() -> None:
    with pytest.raises(SettingsError, match="https://"):
        account_of(StorageSettings(account_name="mail", table_uri="http://127.0.0.1:10002/mail"))


def test_repr_of_an_account_shows_no_secret() -> None:
    shown = repr(account(f"AccountName=mail;AccountKey={KEY}")) + repr(
        account("AccountName=mail;SharedAccessSignature=sig=secret")
    )
    assert "mail" in shown
    assert "key of the account" not in shown
    assert "secret" not in shown
