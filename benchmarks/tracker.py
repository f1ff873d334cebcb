"""How long a tracker of 2,000 patches takes to be read. `python -m benchmarks.tracker [KIND] [PATCHES]`.

Roundup (as KIND is not given) and Request Tracker are real ones, each a server of its own; GitHub, GitLab and Zammad
are the tests' stand-ins, which take no time of their own worth naming, so that it is our side that is measured. Each
reading is a fresh process, as a command of `pps` is: once without a copy, then with it when nothing has changed, then
when ten patches have. Goals: 20 s the first time, 1 s when nothing changed.
"""

from __future__ import annotations

import copy
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from roundup import date, instance

from pps.activities.ports.tracker import Tracker
from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.open import open_tracker
from pps.adapters.trackers.roundup_home import make_home
from pps.config.patch_documents import parse_patch
from pps.config.tracker_models import TrackerFile, TrackerKind
from pps.domain.packages.patch import Patch
from pps.sandbox.grid.processes import free_port

ROUNDS = 3
ROOT = Path(__file__).resolve().parents[1]
SERVER = """
import sys, uvicorn
from pps.sandbox.grid.tracker import tracker_app
from pathlib import Path
uvicorn.run(tracker_app(Path(sys.argv[1]), sys.argv[2]), host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
"""
READER = """
import sys, time
from benchmarks.tracker import Place
begin, before = time.perf_counter(), time.process_time()
found = Place.of(*sys.argv[1:]).tracker().patches()
print(len(found), time.perf_counter() - begin, time.process_time() - before)
"""


@dataclass(frozen=True)
class Place:
    """Where a tracker is, and what we are there."""

    file: TrackerFile
    secret: Secret
    cache: Path

    @classmethod
    def of(cls, file: str, user: str, password: str, cache: str) -> Place:
        """From the words of a command line."""
        return cls(TrackerFile.model_validate_json(file), Secret(password, user), Path(cache))

    def words(self) -> list[str]:
        """For a command line."""
        return [
            self.file.model_dump_json(exclude_defaults=True),
            self.secret.user,
            self.secret.password,
            str(self.cache),
        ]

    def tracker(self) -> Tracker:
        """As a command of `pps` opens it."""
        return open_tracker(self.file, self.secret, self.cache)


def patch(number: int) -> Patch:
    """One as there are many: 3 bugs, a test case, 20 packages, 1,000 characters of notes."""
    bugs = [
        {"number": 100_000 + 3 * number + k, "title": f"Bug {k}", "severity": "major", "originator": "a@example.org"}
        for k in range(3)
    ]
    return parse_patch(
        {
            "number": number,
            "title": f"glite-WN 3.1.{number}",
            "state": "In certification",
            "metapackage": "glite-WN",
            "version": f"3.1.{number}",
            "platforms": ["debian12-amd64"],
            "repository": {
                "kind": "apt",
                "url": "http://repository.example.org/apt",
                "suite": "bookworm",
                "components": ["main"],
            },
            "packages": [{"name": f"package-{k}", "version": f"1.2-{number}", "arch": "amd64"} for k in range(20)],
            "bugs": bugs,
            "test_cases": [{"name": "renew-proxy", "title": "A proxy is renewed", "how": ""}],
            "release_notes": "x" * 1000,
            "provider": "grid-packages@example.org",
        }
    )


def moments(count: int) -> list[datetime]:
    """When each was changed last: some time in the last year, as in a tracker that has grown."""
    dice = random.Random(411)
    return [datetime.now(UTC) - timedelta(seconds=dice.uniform(3600, 365 * 86400)) for _ in range(count)]


@contextmanager
def roundup(folder: Path, patches: int) -> Iterator[tuple[Place, int]]:
    """A real one, served by a process of its own; filled through its own library."""
    home, port = folder / "tracker", free_port()
    url = f"http://127.0.0.1:{port}/"
    make_home(home, url, ROOT / "config" / "tracker")
    db = instance.open(str(home)).open("admin")
    db.sql("pragma synchronous=off")
    states = [db.state.lookup(name) for name in ("In production", "Certified", "In certification")]
    case, major = db.case.create(name="renew-proxy", title="A proxy is renewed"), db.severity.lookup("major")
    for n in range(patches):
        one = patch(10_000 + n)
        bugs = [
            db.bug.create(number=str(b.number), title=b.title, severity=major, originator=b.originator)
            for b in one.bugs
        ]
        db.patch.create(
            number=str(one.number),
            title=one.title,
            metapackage=one.metapackage,
            version=one.version,
            state=states[n % 3],
            bugs=bugs,
            test_cases=[case],
            platforms="debian12-amd64",
            repository="apt http://repository.example.org/apt bookworm main",
            packages="\n".join(f"{p.name} {p.version} {p.arch}" for p in one.packages),
            release_notes=one.release_notes,
            provider=one.provider,
        )
    for klass in ("patch", "bug", "case"):
        items = db.getclass(klass).list()
        for item, moment in zip(items, moments(len(items)), strict=True):
            then = date.Date(moment.utctimetuple()).serialise()
            db.sql(f"update _{klass} set _activity=? where id=?", (then, item))
    db.commit()
    db.close()
    server: Any = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(home), url, str(port)], env=os.environ | {"PYTHONPATH": "plugins"}
    )
    try:
        secret = Secret.of((home / "pps.connection").read_text().strip())
        place = Place(TrackerFile(kind=TrackerKind.ROUNDUP, url=url), secret, folder)
        _wait(lambda: place.tracker().comments(10_000))
        yield place, 10_000
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def _wait(ask: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            ask()
            return
        except Exception:
            assert time.monotonic() < deadline, "the tracker does not come up"
            time.sleep(0.1)


@contextmanager
def stand_in(kind: TrackerKind, folder: Path, patches: int) -> Iterator[tuple[Place, int]]:
    """The tests' own: one patch is entered as we do, the others are copies of it."""
    from tests.support.github import REPOSITORY, GithubStandIn
    from tests.support.gitlab import PROJECT, GitlabStandIn
    from tests.support.stand_in import served
    from tests.support.zammad import GROUP, ZammadStandIn

    project = {TrackerKind.GITHUB: REPOSITORY, TrackerKind.GITLAB: PROJECT, TrackerKind.ZAMMAD: GROUP}[kind]
    service: Any = {
        TrackerKind.GITHUB: GithubStandIn,
        TrackerKind.GITLAB: GitlabStandIn,
        TrackerKind.ZAMMAD: ZammadStandIn,
    }[kind]()
    with served(service):
        place = Place(TrackerFile(kind=kind, url=service.url, project=project), Secret("a-token"), folder)
        first = place.tracker().enter(patch(1), submission="glite-WN 3.1.1")
        (folder / next(folder.glob("*.json")).name).unlink()
        service._judge = _Nobody()
        items = service.tickets if kind is TrackerKind.ZAMMAD else service.issues
        talk = {TrackerKind.GITHUB: "comments", TrackerKind.GITLAB: "notes", TrackerKind.ZAMMAD: "articles"}[kind]
        known = items[first]
        for number, moment in zip(range(first, first + patches), moments(patches), strict=True):
            at = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
            items[number] = copy.deepcopy(known) | {"updated_at": at, "created_at": at}
            items[number] |= {"id": number} if kind is TrackerKind.ZAMMAD else {"number": number, "iid": number}
            getattr(service, talk)[number] = []
        service._clock = datetime.now(UTC)
        yield place, first


class _Nobody:
    def wrong_with(self, asked: object) -> list[str]:
        return []

    def wrong_with_answer(self, asked: object, answer: object) -> list[str]:
        return []


@contextmanager
def request_tracker(folder: Path, patches: int) -> Iterator[tuple[Place, int]]:
    """A real one, in memory; one patch is entered as we do, the others are copies of it in its database."""
    from tests.support.request_tracker import PASSWORD, USER, running_rt

    with tempfile.TemporaryDirectory(prefix="pps-rt-", dir="/dev/shm") as memory, running_rt(Path(memory)) as rt:
        file = TrackerFile(kind=TrackerKind.REQUEST_TRACKER, url=rt.url, project=rt.queue())
        place = Place(file, Secret(PASSWORD, USER), folder)
        first = place.tracker().enter(patch(1), submission="glite-WN 3.1.1")
        (folder / next(folder.glob("*.json")).name).unlink()
        db = sqlite3.connect(Path(memory) / "rt.sqlite", timeout=60)
        columns = {
            table: [row[1] for row in db.execute(f"pragma table_info({table})") if row[1] != "id"]
            for table in ("Tickets", "ObjectCustomFieldValues")
        }
        for number, moment in zip(range(first, first + patches), moments(patches), strict=True):
            if number > first:
                _copied(db, "Tickets", columns["Tickets"], {"EffectiveId": number}, "id", first, number)
                _copied(db, "ObjectCustomFieldValues", columns["ObjectCustomFieldValues"], {"ObjectId": number},
                        "ObjectType = 'RT::Ticket' and ObjectId", first)  # fmt: skip
            db.execute("update Tickets set LastUpdated = ? where id = ?", (f"{moment:%Y-%m-%d %H:%M:%S}", number))
        db.commit()
        db.close()
        yield place, first


def _copied(
    db: Any, table: str, columns: list[str], other: dict[str, int], where: str, which: int, number: int | None = None
) -> None:
    """Copies of rows, with other values in some columns."""
    names = ", ".join(columns)
    taken = ", ".join(str(other.get(name, name)) for name in columns)
    head, value = ("id, ", f"{number}, ") if number is not None else ("", "")
    db.execute(f"insert into {table} ({head}{names}) select {value}{taken} from {table} where {where} = ?", (which,))


def seconds(place: Place, patches: int) -> tuple[float, float]:
    """Of one reading, without the start of Python: by the clock, and of the processor."""
    said = subprocess.run(
        [sys.executable, "-c", READER, *place.words()],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(["plugins", "."])},
        cwd=ROOT,
    ).stdout.split()
    assert int(said[0]) == patches, said
    return float(said[1]), float(said[2])


def main() -> int:
    """Print the figures; the exit code is 1 if a goal is missed."""
    kind = TrackerKind(sys.argv[1]) if len(sys.argv) > 1 else TrackerKind.ROUNDUP
    patches = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    rounds = 1 if kind is TrackerKind.REQUEST_TRACKER else ROUNDS  # it takes minutes for its custom fields
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        if kind is TrackerKind.ROUNDUP:
            opened = roundup(here, patches)
        elif kind is TrackerKind.REQUEST_TRACKER:
            opened = request_tracker(here, patches)
        else:
            opened = stand_in(kind, here, patches)
        with opened as (place, number):
            first, again = [], []
            for _ in range(rounds):
                for kept in here.glob("*.json"):
                    kept.unlink()
                first.append(seconds(place, patches))
                again.append(seconds(place, patches))
            tracker = place.tracker()
            for n in range(10):
                tracker.edit(number + n, {"release_notes": "changed"})
            some = [seconds(place, patches)]
        rows = {"first": first, "nothing changed": again, "ten changed": some}
        print(f"Seconds to read {patches} patches of {kind}, median of {rounds} fresh processes")
        for what, figures in rows.items():
            by_clock, of_cpu = ([f[n] for f in figures] for n in (0, 1))
            spread = (
                f"(min {min(by_clock):.2f}, max {max(by_clock):.2f}), of the processor {statistics.median(of_cpu):.2f}"
            )
            print(f"  {what:16} {statistics.median(by_clock):6.2f}  {spread}")
        return int(statistics.median(f[0] for f in first) > 20 or statistics.median(f[0] for f in again) > 1)


if __name__ == "__main__":
    sys.exit(main())
