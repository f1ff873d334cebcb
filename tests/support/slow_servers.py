"""TCP servers that behave badly, each on a free loopback port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def tcp_server(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Run `serve(connection, end)` for each connection; the port. All threads are gone afterwards."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    end = threading.Event()
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            serve(connection, end)

    def accept() -> None:
        while not end.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            threads.append(threading.Thread(target=one, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        end.set()
        acceptor.join()
        for thread in threads:
            thread.join()
        listener.close()
