"""A time server on loopback that tells this machine's own time (RFC 4330), as a thread: beside a clock that is set off."""

from __future__ import annotations

import socket
import struct
import threading
import time
from types import TracebackType

_ERA_1970 = 2_208_988_800  # seconds from 1900 to 1970


class TimeServer:
    """`with TimeServer() as server:` answers at `server.address`, host:port."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> TimeServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.sendto(b"", self._socket.getsockname())  # the thread ends with an empty packet
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            asked, peer = self._socket.recvfrom(512)
            if not asked:
                return
            now = time.time()
            words = struct.pack("!II", int(now) + _ERA_1970, int(now % 1 * 2**32))
            head = struct.pack("!BBbbII4s", 0x24, 1, 6, -20, 0, 0, b"TEST")
            self._socket.sendto(head + words + asked[40:48] + words + words, peer)
