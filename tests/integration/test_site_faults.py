"""What a site's machine does to us: its clock is wrong, or it loses power in the worst instant."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.integration.test_receiver import AtSite, payload, store  # noqa: F401
from tests.support.local_shell import make_sh
from tests.support.previews import SMALL, FolderArtefacts


@pytest.mark.needs("faketime")
@pytest.mark.parametrize("skew", ["+2y", "-2y"])
def test_a_site_whose_clock_is_years_wrong_is_served_looked_at_and_cleared(
    tmp_path: Path,
    store: FolderArtefacts,
    skew: str,
) -> None:
    tools = make_sh(tmp_path / "tools", "dash")
    shell = tmp_path / "tools" / "sh"
    shell.unlink()
    shell.write_text(f'#!/bin/dash\nexec faketime -f {skew} /bin/dash "$@"\n')
    shell.chmod(0o755)
    there = subprocess.run(["sh", "-c", "date +%Y"], env={"PATH": tools}, capture_output=True, text=True, check=True)
    here = subprocess.run(["date", "+%Y"], capture_output=True, text=True, check=True)
    assert abs(int(there.stdout) - int(here.stdout)) == 2, "the fault is there"
    (tmp_path / "site/production").mkdir(parents=True)
    right, wrong = AtSite(tmp_path / "site"), AtSite(tmp_path / "site", tools)
    tarball, other = store.make(SMALL, "1.0"), store.make({**SMALL, "bin/more": b"x"}, "1.1")

    assert wrong.install(tarball, payload(store, tarball))[-1] == f"PPS-INSTALLED {tarball.name}"
    assert wrong.look(tarball) == right.look(tarball) == "PPS-LOOK intact"
    # a lock of the wrong time keeps nobody out after the clock was set right, nor the other way round
    assert right.install(other, payload(store, other))[-1] == f"PPS-INSTALLED {other.name}"
    for site, which in ((wrong, other), (right, tarball)):
        done = site.run("remove", which.name, str(site.root))
        assert done.stdout.decode().splitlines()[-1] == f"PPS-REMOVED {which.name}"
    assert right.left_behind() == []


@pytest.mark.needs("strace")
def test_a_preview_is_on_the_disk_before_it_is_in_its_place(tmp_path: Path, store: FolderArtefacts) -> None:
    site, trace = AtSite(tmp_path / "site"), tmp_path / "trace"
    tarball = store.make(SMALL, "1.0")
    calls = "trace=rename,renameat,renameat2,sync,syncfs,fsync"

    said = site.install(tarball, payload(store, tarball), prefix=f"strace -f -qq -e {calls} -o {trace}")

    assert said[-1] == f"PPS-INSTALLED {tarball.name}", said
    done = [line.split(" ", 1)[1].strip() for line in trace.read_text().splitlines()]
    place = re.compile(rf'rename\w*\(.*"{re.escape(str(site.root / tarball.name))}"')
    (renamed,) = [n for n, call in enumerate(done) if place.match(call)]
    assert [call for call in done[:renamed] if re.match(r"(sync|syncfs|fsync)\(.*= 0", call)], done
