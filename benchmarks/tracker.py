"""How long a tracker of 2,000 patches takes to be read. `python -m benchmarks.tracker [PATCHES]`.

A real Roundup with our schema, each patch with 3 bugs, a test case, 20 packages and 1,000 characters of release notes;
served by one process of its own. Each reading is a fresh process, as a command of `pps` is: once without a copy, then
with it when nothing has changed, then when ten patches have. Goals: 20 s the first time, 1 s when nothing changed.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from roundup import date, instance

from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.roundup import RoundupTracker
from pps.adapters.trackers.roundup_home import make_home
from pps.config.tracker_models import TrackerFile, TrackerKind
from pps.sandbox.grid.processes import free_port

ROUNDS = 3
CONFIG = Path(__file__).resolve().parents[1] / "config" / "tracker"
SERVER = """
import sys, uvicorn
from pps.sandbox.grid.tracker import tracker_app
from pathlib import Path
uvicorn.run(tracker_app(Path(sys.argv[1]), sys.argv[2]), host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
"""
READER = """
import sys, time
from pathlib import Path
from benchmarks.tracker import reader
begin, before = time.perf_counter(), time.process_time()
found = reader(Path(sys.argv[1]), sys.argv[2]).patches()
print(len(found), time.perf_counter() - begin, time.process_time() - before)
"""


def reader(home: Path, url: str) -> RoundupTracker:
    secret = Secret.of((home / "pps.connection").read_text().strip())
    return RoundupTracker(TrackerFile(kind=TrackerKind.ROUNDUP, url=url), secret, copy=home / "copy.json")


def fill(home: Path, patches: int) -> None:
    """Through Roundup's own library; afterwards the patches are of the last year, as in a tracker that has grown."""
    db = instance.open(str(home)).open("admin")
    db.sql("pragma synchronous=off")
    states = [db.state.lookup(name) for name in ("In production", "Certified", "In certification")]
    case = db.case.create(name="renew-proxy", title="A proxy is renewed")
    major = db.severity.lookup("major")
    for n in range(patches):
        bugs = [
            db.bug.create(
                number=str(100_000 + 3 * n + k), title=f"Bug {n} {k}", severity=major, originator="a@example.org"
            )
            for k in range(3)
        ]
        db.patch.create(
            number=str(10_000 + n),
            title=f"glite-WN 3.1.{n}",
            metapackage="glite-WN",
            version=f"3.1.{n}",
            state=states[n % 3],
            bugs=bugs,
            test_cases=[case],
            platforms="debian12-amd64",
            repository="apt http://repository.example.org/apt bookworm main",
            packages="\n".join(f"package-{k} 1.2-{n} amd64" for k in range(20)),
            release_notes="x" * 1000,
            provider="grid-packages@example.org",
        )
    dice = random.Random(411)
    now = time.time()
    for klass in ("patch", "bug", "case"):
        for item in db.getclass(klass).list():
            then = date.Date(time.gmtime(now - dice.uniform(3600, 365 * 86400)))
            db.sql(f"update _{klass} set _activity=? where id=?", (then.serialise(), item))
    db.commit()
    db.close()


def seconds(home: Path, url: str, patches: int) -> tuple[float, float]:
    """Of one reading, without the start of Python: by the clock, and of the processor."""
    said = subprocess.run(
        [sys.executable, "-c", READER, str(home), url],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(["plugins", "."])},
        cwd=CONFIG.parents[1],
    ).stdout.split()
    assert int(said[0]) == patches, said
    return float(said[1]), float(said[2])


def main() -> int:
    """Print the figures; the exit code is 1 if a goal is missed."""
    patches = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder) / "tracker", free_port()
        url = f"http://127.0.0.1:{port}/"
        make_home(home, url, CONFIG)
        fill(home, patches)
        server: Any = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(home), url, str(port)], env=os.environ | {"PYTHONPATH": "plugins"}
        )
        try:
            tracker = reader(home, url)
            deadline = time.monotonic() + 60
            while True:
                try:
                    tracker.comments(10_000)
                    break
                except Exception:
                    assert time.monotonic() < deadline, "the tracker does not come up"
                    time.sleep(0.1)
            first, again, some = [], [], []
            for _ in range(ROUNDS):
                (home / "copy.json").unlink(missing_ok=True)
                first.append(seconds(home, url, patches))
                again.append(seconds(home, url, patches))
            for n in range(10):
                tracker.edit(10_000 + n, {"release_notes": "changed"})
            some.append(seconds(home, url, patches))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
        rows = {"first": first, "nothing changed": again, "ten changed": some}
        print(f"Seconds to read {patches} patches of a Roundup, median of {ROUNDS} fresh processes")
        for what, figures in rows.items():
            by_clock, of_cpu = ([f[n] for f in figures] for n in (0, 1))
            spread = (
                f"(min {min(by_clock):.2f}, max {max(by_clock):.2f}), of the processor {statistics.median(of_cpu):.2f}"
            )
            print(f"  {what:16} {statistics.median(by_clock):6.2f}  {spread}")
        return int(statistics.median(f[0] for f in first) > 20 or statistics.median(f[0] for f in again) > 1)


if __name__ == "__main__":
    sys.exit(main())
