"""The only code that talks to Azure Storage: entities, queue items and blobs behind one narrow interface.

Callers cannot tell how a round trip is made. Importing this package imports no azure-core; opening a
store does.
"""

from email_core.storage.chunks import chunks, joined_chunks, sized_chunks
from email_core.storage.content import ContentStore
from email_core.storage.entities import StoredEntity, text_literal
from email_core.storage.limits import Entity, StorageLimit, Value
from email_core.storage.open import Storage, open_storage
from email_core.storage.queues import QueueItem, Queues
from email_core.storage.tables import Tables
from email_core.storage.transactions import Delete, Insert, Merge, Operation, Upsert

__all__ = [
    "ContentStore",
    "Delete",
    "Entity",
    "Insert",
    "Merge",
    "Operation",
    "QueueItem",
    "Queues",
    "Storage",
    "StorageLimit",
    "StoredEntity",
    "Tables",
    "Upsert",
    "Value",
    "chunks",
    "joined_chunks",
    "open_storage",
    "sized_chunks",
    "text_literal",
]
