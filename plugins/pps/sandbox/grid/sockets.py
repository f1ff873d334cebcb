"""Loopback ports that stay ours also while nobody listens on them."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def reserve_port(preferred: int = 0) -> socket.socket:
    """Bind a socket on loopback without listening: connections are refused, and nobody else gets the port.

    Args:
        preferred: the port that was ours before; another one is taken if it is in use now.
    """
    if preferred:
        try:
            return _bound(preferred)
        except OSError:
            pass
    return _bound(0)


def _bound(port: int) -> socket.socket:
    # asyncio turns Nagle's delays (40 ms an answer) off only where the protocol is named
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if port:
            # earlier connections may linger in TIME_WAIT; a fresh port needs no such leave
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((LOOPBACK, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def about_to_listen(sock: socket.socket) -> socket.socket:
    """Let the next grid have the port at once: Linux frees it from TIME_WAIT only if this side agreed, too.

    Not earlier, since until it listens this would let others bind the port as well.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


def port_of(sock: socket.socket) -> int:
    """The port that a reserved socket has."""
    return int(sock.getsockname()[1])
