"""The storage account that the settings name: where its services are, and what we show them.

Forms of a connection string are those of "Configure Azure Storage connection strings": account name and key, explicit
endpoints, a shared access signature, `UseDevelopmentStorage=true`. Without one, the app's own identity is shown.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from email_core.settings import SettingsError, StorageSettings

_SETTING = "AzureWebJobsStorage"
_PUBLIC_SUFFIX = "core.windows.net"

# The emulator's account, the same on every machine and documented as such: no secret.
_EMULATOR_ACCOUNT = "devstoreaccount1"
_EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_EMULATOR_PORTS = {"blob": 10000, "queue": 10001, "table": 10002}


@dataclass(frozen=True, slots=True)
class SharedKey:
    """The account key, which signs each request."""

    account: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SharedAccess:
    """A shared access signature: a query string that is added to each request."""

    signature: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """The app's own identity in Entra ID; `client_id` names a user-assigned one, and is empty otherwise."""

    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """The endpoints of the three services, without a slash at the end, and the credential for all of them."""

    table_endpoint: str
    queue_endpoint: str
    blob_endpoint: str
    credential: SharedKey | SharedAccess | Identity


def account_of(settings: StorageSettings) -> Account:
    """The account that the settings name. Raises SettingsError, which never repeats a key or a signature."""
    if settings.connection_string:
        return _from_connection_string(settings.connection_string)
    given = {"table": settings.table_uri, "queue": settings.queue_uri, "blob": settings.blob_uri}
    if not settings.account_name and not all(given.values()):
        raise SettingsError(f"{_SETTING}__accountName is empty, and not all three of the service URIs are set")
    endpoints = {
        service: uri or f"https://{settings.account_name}.{service}.{_PUBLIC_SUFFIX}" for service, uri in given.items()
    }
    for service, endpoint in endpoints.items():
        if not endpoint.startswith("https://"):
            # A bearer token that is read on the way can be used by whoever read it.
            raise SettingsError(f"{_SETTING}__{service}ServiceUri must begin with https:// when no connection string is set")
    return _account(endpoints, Identity(settings.client_id))


def _from_connection_string(text: str) -> Account:
    parts = _parts(text)
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        return _emulator(parts.get("developmentstorageproxyuri", "http://127.0.0.1"))
    name = parts.get("accountname", "")
    protocol = parts.get("defaultendpointsprotocol", "https").lower()
    suffix = parts.get("endpointsuffix", _PUBLIC_SUFFIX)
    endpoints: dict[str, str] = {}
    for service in ("table", "queue", "blob"):
        endpoint = parts.get(f"{service}endpoint", "") or (name and f"{protocol}://{name}.{service}.{suffix}")
        if not endpoint:
            raise SettingsError(f"{_SETTING} has neither AccountName nor {service.capitalize()}Endpoint")
        endpoints[service] = endpoint
    if signature := parts.get("sharedaccesssignature", ""):
        return _account(endpoints, SharedAccess(signature.removeprefix("?")))
    if not name or "accountkey" not in parts:
        raise SettingsError(f"{_SETTING} needs AccountName and AccountKey, or SharedAccessSignature")
    return _account(endpoints, SharedKey(name, _decoded_key(parts["accountkey"])))


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.strip().partition("=")
        if not equals and name:
            raise SettingsError(f"{_SETTING} must be a connection string: pairs of Name=Value with ; between them")
        parts[name.strip().lower()] = value.strip()
    return parts


def _emulator(host: str) -> Account:
    base = host.rstrip("/")
    endpoints = {service: f"{base}:{port}/{_EMULATOR_ACCOUNT}" for service, port in _EMULATOR_PORTS.items()}
    return _account(endpoints, SharedKey(_EMULATOR_ACCOUNT, _decoded_key(_EMULATOR_KEY)))


def _decoded_key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise SettingsError(f"the AccountKey of {_SETTING} must be base64") from error


def _account(endpoints: dict[str, str], credential: SharedKey | SharedAccess | Identity) -> Account:
    for service, endpoint in endpoints.items():
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname or url.query:
            raise SettingsError(f"the {service} endpoint of {_SETTING} must be an http or https URL without a query")
    return Account(
        endpoints["table"].rstrip("/"), endpoints["queue"].rstrip("/"), endpoints["blob"].rstrip("/"), credential
    )  # fmt: skip
