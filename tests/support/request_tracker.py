"""A real Request Tracker on a free port of 127.0.0.1, with a database of its own and a queue for each test."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError

import pytest

from pps.adapters.trackers.entries import SUBMISSION
from pps.config.tracker_models import FIELDS
from pps.domain.packages.patch import PatchState

SETUP, SERVER = "rt-setup-database-5", "/usr/share/request-tracker5/libexec/rt-server"
USER, PASSWORD = "pps", "a-password-of-ours"
_RIGHTS = (
    "SeeQueue ShowTicket ShowTicketComments CreateTicket ModifyTicket CommentOnTicket SeeCustomField "
    "ModifyCustomField SetInitialCustomField"
)
_STATES = [state.value for state in PatchState]
_LAST = ("In production", "Rejected", "Obsolete")
_SITE = """
Set($rtname, 'pps.example.org');
Set($Organization, 'pps.example.org');
Set($WebDomain, '127.0.0.1');
Set($WebPort, {port});
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '{folder}/rt.sqlite');
Set($LogToSyslog, '');
Set($LogToSTDERR, 'error');
Set($MailCommand, 'testfile');
Set($Timezone, 'America/New_York'); # a moment without its zone is read in this one
Set($BcryptCost, 4); # each request signs in anew
Set(%Lifecycles, patches => {{
    initial => [{first}], active => [], inactive => [{last}, 'deleted'],
    defaults => {{ on_create => {one} }},
    transitions => {{ '' => [{all}], {moves} }},
}}, unmoved => {{
    initial => [{first}], active => [], inactive => [{last}, 'deleted'],
    defaults => {{ on_create => {one} }}, transitions => {{ '' => [{all}] }},
}});
1;
"""
_DATA = """
our @Users = ({{ Name => '{user}', Password => '{password}', Privileged => 1 }});
our @CustomFields = map {{
    +{{ Name => $_, Type => 'TextSingle', LookupType => 'RT::Queue-RT::Ticket', ApplyTo => 0 }}
}} qw({fields});
our @ACL = map {{ +{{ UserId => '{user}', Right => $_ }} }} qw({rights});
1;
"""


@dataclass
class RunningRt:
    """A server; queues are made as they are asked for."""

    url: str
    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def queue(self, lifecycle: str = "patches") -> str:
        """A new one, without tickets; in the lifecycle `unmoved`, no status is ever another one."""
        name = f"patches {next(self._numbers)}"
        self.root().create_queue(name, Lifecycle=lifecycle)
        return name

    def a_day_later(self) -> None:
        """All tickets were changed last a day before."""
        with closing(sqlite3.connect(self.folder / "rt.sqlite", timeout=30)) as db, db:
            db.execute("update Tickets set LastUpdated = datetime(LastUpdated, '-1 day')")

    def root(self):
        import httpx2
        from rt.rest2 import Rt

        return Rt(f"{self.url}/REST/2.0/", http_auth=httpx2.BasicAuth("root", "password"))


@contextmanager
def running_rt(folder: Path) -> Iterator[RunningRt]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    quoted = [f"'{state}'" for state in _STATES]
    parts = {"first": quoted, "last": [f"'{s}'" for s in _LAST], "all": quoted}
    parts["first"] = [q for q in quoted if q not in parts["last"]]
    words = {name: ", ".join(some) for name, some in parts.items()}
    moves = ", ".join(f"{q} => [{words['all']}, 'deleted']" for q in quoted)
    (folder / "RT_SiteConfig.pm").write_text(
        _SITE.format(port=port, folder=folder, one=quoted[0], moves=moves, **words)
    )
    (folder / "more").mkdir()
    fields = " ".join([*FIELDS[1:], SUBMISSION])
    data = _DATA.format(user=USER, password=PASSWORD, fields=fields, rights=_RIGHTS)
    (folder / "data.pl").write_text(data)
    env = {
        **os.environ,
        "RT_SITE_CONFIG": str(folder / "RT_SiteConfig.pm"),
        "RT_SITE_CONFIG_DIR": str(folder / "more"),
        "TMPDIR": str(folder),
    }
    for step in (
        ["--action", "init", "--dba", "", "--dba-password", ""],
        ["--action", "insert", "--datafile", f"{folder}/data.pl"],
    ):
        subprocess.run([SETUP, "--skip-create", *step], env=env, check=True, capture_output=True, cwd=folder)
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [SERVER, "--host", "127.0.0.1", "--port", str(port)],
            env=env,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(url, timeout=30).close()
                break
            except URLError:
                assert server.poll() is None, (folder / "server.log").read_text()
                assert time.monotonic() < end, (folder / "server.log").read_text()
                time.sleep(0.1)
        yield RunningRt(url, folder)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


@pytest.fixture(scope="session")
def rt() -> Iterator[RunningRt]:
    """In memory where we can: its database waits for the disk at each change."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="pps-rt-", dir=memory) as folder, running_rt(Path(folder)) as running:
        yield running
