"""Content that does not fit an entity: one blob each, written and read in one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from email_core.storage.answers import failure
from email_core.storage.limits import check_blob_name

if TYPE_CHECKING:
    from email_core.storage.pipeline import Service

CONTAINER = "content"
DEADLINE = 180.0  # seconds, with retries: 40 MB over a slow link, and still less than a claim holds


class ContentStore:
    """The container `content` of the Blob service. Every method raises StorageUnavailable, StorageLimit for a name that
    the service does not take, and EntityMissing for a container that was never created."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def put(self, name: str, data: bytes) -> None:
        """Store bytes under a name, in place of what was there."""
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        answer = await self._service.call("put", "PUT", _path(name), headers, data, deadline=DEADLINE)
        if answer.status != 201:
            raise failure(answer)

    async def get(self, name: str) -> bytes:
        """The bytes under a name. Raises EntityMissing."""
        answer = await self._service.call("get", "GET", _path(name), {}, deadline=DEADLINE)
        if answer.status != 200:
            raise failure(answer)
        return answer.body

    async def delete(self, name: str) -> None:
        """Delete what is under a name. Raises EntityMissing."""
        answer = await self._service.call("delete", "DELETE", _path(name), {})
        if answer.status == 404 and answer.retried and answer.fault[0] == "BlobNotFound":
            return  # the first try deleted it, and its answer was lost
        if answer.status != 202:
            raise failure(answer)


def _path(name: str) -> str:
    check_blob_name(name)
    return f"/{CONTAINER}/{quote(name, safe='/')}"
