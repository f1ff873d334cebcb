"""A TCP proxy that breaks connections on purpose, at an exact byte of the stream to the server."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class ChaosProxy:
    """`reset_at` / `hang_at`: bytes towards the server after which the connection is reset / stands still.

    `tarpit`: accept and say nothing. `only_first`: later connections pass unharmed.
    """

    to_port: int
    reset_at: int | None = None
    hang_at: int | None = None
    tarpit: bool = False
    only_first: bool = False
    port: int = 0
    connections: int = 0
    _open: list[socket.socket] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            harm = not (self.only_first and self.connections > 1)
            if self.tarpit and harm:
                continue
            server = socket.create_connection(("127.0.0.1", self.to_port))
            self._open.append(server)
            threading.Thread(target=self._pump, args=(client, server, harm), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, harm: bool) -> None:
        limit = (self.reset_at if self.reset_at is not None else self.hang_at) if harm else None
        moved = 0
        with suppress(OSError):
            while True:
                room = 65536 if limit is None else min(65536, limit - moved)
                if room == 0:
                    if self.reset_at is not None:
                        for end in (source, sink):
                            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                            end.shutdown(socket.SHUT_RD)
                            end.close()
                    return
                data = source.recv(room)
                if not data:
                    break
                sink.sendall(data)
                moved += len(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for end in self._open:
            with suppress(OSError):
                end.close()


@contextmanager
def chaos_proxy(to_port: int, **how: object) -> Iterator[ChaosProxy]:
    proxy = ChaosProxy(to_port, **how)  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.port = listener.getsockname()[1]
        thread = threading.Thread(target=proxy.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            proxy.close()
