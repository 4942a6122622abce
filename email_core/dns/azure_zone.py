"""Changing a zone of Azure DNS through azure-mgmt-dns, as the app's own identity, with the ETag of each record set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from email_core.dns.zone_edit import RecordSet, ZoneChanged, ZoneRefused, ZoneUnavailable

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

_STRING = 255  # octets of one character-string (RFC 1035 section 3.3.14)
_ALIAS = "an Azure resource"
_OPTIONS = {"retry_total": 2, "connection_timeout": 5, "read_timeout": 20}
_PASSING = frozenset((408, 429))


class AzureDnsZone:
    """A `ZoneEditor` for one zone of Azure DNS. It belongs to the running event loop."""

    def __init__(
        self,
        zone: str,
        subscription: str,
        resource_group: str,
        *,
        client_id: str = "",
        credential: AsyncTokenCredential | None = None,
        base_url: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """`client_id` names a user-assigned identity; `credential` stands in for the app's own and is closed with the editor.

        `options` go to the client of azure-mgmt-dns.
        """
        # Half a second of import, which only who writes to Azure DNS pays.
        from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential
        from azure.mgmt.dns.aio import DnsManagementClient

        if credential is None:
            credential = ManagedIdentityCredential(client_id=client_id) if client_id else DefaultAzureCredential()
        self.zone = zone
        self._group = resource_group
        self._credential = credential
        self._client = DnsManagementClient(credential, subscription, base_url or None, **{**_OPTIONS, **(options or {})})
        self._read: dict[tuple[str, str], Any] = {}

    async def read(self, name: str, record_type: str) -> RecordSet:
        """See ZoneEditor."""
        found = await self._get(name, record_type)
        self._read[name, record_type] = found
        if found is not None:
            values = _values(found, record_type)
            return RecordSet(name, record_type, values, int(found.ttl or 0), version=str(found.etag or ""))
        if name == self.zone:
            return RecordSet(name, record_type)
        if record_type == "CNAME":
            # Texts are what most likely stands at a selector. Azure itself looks for the rest.
            return RecordSet(name, record_type, others=await self._get(name, "TXT") is not None)
        alias = await self._get(name, "CNAME")
        cname = "" if alias is None else _values(alias, "CNAME")[0]
        return RecordSet(name, record_type, cname=cname, others=bool(cname))

    async def replace(self, before: RecordSet, values: tuple[str, ...], ttl: int) -> None:
        """See ZoneEditor."""
        from azure.core.exceptions import AzureError
        from azure.mgmt.dns.models import RecordSet as AzureRecordSet

        held = self._read.get((before.name, before.type))
        kept = set(before.values) & set(values)
        changed = AzureRecordSet(ttl=before.ttl if kept else ttl, metadata=held.metadata if held is not None else None)
        _set_values(changed, held, before, values)
        condition = {"if_match": before.version} if before.version else {"if_none_match": "*"}
        try:
            await self._client.record_sets.create_or_update(
                self._group, self.zone, self._relative(before.name), before.type, changed, **condition
            )
        except AzureError as error:
            raise self._failure(error, f"{before.name} {before.type}") from error

    async def close(self) -> None:
        """Close the connections and the credential."""
        await self._client.close()
        await self._credential.close()

    async def _get(self, name: str, record_type: str) -> Any:
        """A record set of Azure, or None."""
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        try:
            return await self._client.record_sets.get(self._group, self.zone, self._relative(name), record_type)
        except ResourceNotFoundError:
            return None  # or the zone is not there: the first change tells
        except AzureError as error:
            raise self._failure(error, f"{name} {record_type}") from error

    def _relative(self, name: str) -> str:
        return "@" if name == self.zone else name.removesuffix(f".{self.zone}")

    def _failure(self, error: Exception, what: str) -> Exception:
        """What an error of azure-core means."""
        status = getattr(error, "status_code", None)
        code = getattr(getattr(error, "error", None), "code", "") or ""
        # Without the string that a token request may quote: the first line alone.
        said = f"Azure DNS, zone {self.zone} in {self._group}, {what}: {status or type(error).__name__} {code} {_line(error)}"
        if status == 412:
            return ZoneChanged(said)
        if status in (401, 403):
            return ZoneRefused(
                said, "Azure does not let the app change the zone: give its identity the role DNS Zone Contributor"
            )
        if status == 404:
            return ZoneRefused(said, "Azure has no such zone in that subscription and resource group")
        if isinstance(status, int) and status < 500 and status not in _PASSING:
            return ZoneRefused(said, f"Azure DNS refused it: {code or status} {_line(error)}")
        return ZoneUnavailable(said)


def _values(found: Any, record_type: str) -> tuple[str, ...]:
    match record_type:
        case "TXT":
            return tuple("".join(record.value or ()) for record in found.txt_records or ())
        case "CNAME":
            record = found.cname_record
            return (str(record.cname or "").lower().removesuffix(".") if record is not None else _ALIAS,)
        case "MX":
            return tuple(
                f"{record.preference} {record.exchange.lower().removesuffix('.')}" for record in found.mx_records or ()
            )
    raise ValueError(f"{record_type} records are not written to Azure DNS")


def _set_values(changed: Any, held: Any, before: RecordSet, values: tuple[str, ...]) -> None:
    """Write the values into a record set of Azure; texts that stay keep the strings that they are cut into."""
    from azure.mgmt.dns import models

    match before.type:
        case "TXT":
            cut = dict(zip(before.values, held.txt_records or (), strict=True)) if held is not None else {}
            changed.txt_records = [cut.get(value) or models.TxtRecord(value=_strings(value)) for value in values]
        case "CNAME":
            changed.cname_record = models.CnameRecord(cname=values[0])
        case "MX":
            pairs = [value.split() for value in values]
            changed.mx_records = [models.MxRecord(preference=int(rank), exchange=host) for rank, host in pairs]


def _strings(value: str) -> list[str]:
    # Our values are ASCII, so a character is an octet.
    return [value[start : start + _STRING] for start in range(0, max(len(value), 1), _STRING)]


def _line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:300]
