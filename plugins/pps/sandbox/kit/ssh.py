"""OpenSSH on this machine: keys, ports, and a server that is waited for."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path


def free_port() -> int:
    """A loopback port that nobody has now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def new_key(path: Path, kind: str = "ed25519") -> Path:
    """Make a key pair at `path` and `path`.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)], check=True)
    return path


def public_key(path: Path) -> str:
    """`<type> <base64>` of the key pair at `path`."""
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


def wait_for_port(port: int, process: subprocess.Popen[bytes] | None = None, seconds: float = 10) -> None:
    """Wait until somebody listens; OSError after so long, or if `process` has ended."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline or (process is not None and process.poll() is not None):
                raise
            time.sleep(0.02)
