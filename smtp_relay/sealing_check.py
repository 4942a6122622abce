"""Whether the sealing key is that of the installation: whether it opens what the platform keeps in storage.

Under another key every address that we made is a stranger's, so bounces would be refused for good, and nobody could log in.
"""

from __future__ import annotations

import asyncio
import math

from email_core import maillog
from email_core.clock import Clock
from email_core.domains.directory import Directory
from email_core.errors import ConfigurationMissing, EntityMissing, StorageRefused, StorageUnavailable
from email_core.sealing import SealingError

CHECK_SECONDS = 5.0  # for storage to answer
ASKED_SECONDS = 5.0  # from one question to the next while there is no proof: strangers must not load storage
PROVEN_SECONDS = 60.0  # that a proof is good for: a worker with another key may have sealed anew


async def check_sealing_key(directory: Directory) -> bool:
    """Open what the platform keeps in storage; false when there is nothing yet that was sealed, or nothing that can be read.

    Raises SealingError, TimeoutError, and what storage raises.
    """
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return bool(await directory.platform_keys())
    except ConfigurationMissing as error:
        if isinstance(error.__cause__, SealingError):
            raise error.__cause__ from error
        return False


class SealingProof:
    """What storage told last about the key of this process. Storage that is away takes no proof back."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._proven = False
        self._asked = -math.inf  # of the monotonic clock
        self._asking = asyncio.Lock()

    async def holds(self) -> bool:
        """Whether the key is known to be that of the installation; asks storage when it is time to."""
        async with self._asking:  # one asks, and those who came meanwhile get what it was told
            if self._clock.monotonic() - self._asked >= (PROVEN_SECONDS if self._proven else ASKED_SECONDS):
                self._proven = await self._ask()
                self._asked = self._clock.monotonic()
            return self._proven

    async def _ask(self) -> bool:
        try:
            return await check_sealing_key(self._directory)
        except SealingError as error:
            maillog.fault("smtp-inbound", error=error)
            return False
        except (StorageUnavailable, StorageRefused, EntityMissing, TimeoutError) as error:
            maillog.fault("smtp-inbound", error=error)
            return self._proven
