"""What a kit has verified is published in CVMFS: a contract with `cvmfs_server`, of which a stand-in is here.

NO REAL REPOSITORY WAS THERE: the stand-in takes the options that `ingest` is documented to have (--tar_file and
--base_dir, without which older ones do nothing; --catalog, --delete), unpacks into a folder, and writes a root hash as
`.cvmfspublished` has it. Whether a real one does what we think of it is not tested here.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from tests.support.local_shell import make_sh
from tests.support.previews import SMALL, artefacts_in

from pps.domain.sites.site import Scheme
from pps.domain.trust.statement import withdrawal_of
from pps.sandbox.kit.site import WEEK, KitSite, People, now

pytestmark = pytest.mark.needs("openssh", "openssl")
_STAND_IN = """#!/bin/sh
# stands in for cvmfs_server: ingest alone, and nothing of its file system
echo "$*" >>"$PPS_STAND_IN/calls"
[ ! -e "$PPS_STAND_IN/fails" ] || { echo "repository is in a transaction"; exit 1; }
[ "$1" = ingest ] || exit 64
shift
while [ $# -gt 1 ]; do
  case $1 in
    --tar_file) tar=$2; shift ;;
    --base_dir) base=$2; shift ;;
    --delete) rm -r "$PPS_STAND_IN/tree/$2"; shift ;;
    --catalog) ;;
    *) echo "unknown option $1"; exit 64 ;;
  esac
  shift
done
[ "$1" = pps.example.org ] && [ -n "$base" ] && [ -n "$tar" ] || exit 64
mkdir -p "$PPS_STAND_IN/tree/$base" && tar -C "$PPS_STAND_IN/tree/$base" -xf "$tar" || exit 1
[ ! -e "$PPS_STAND_IN/does-nothing" ] || exit 0
{ echo "C$(cat "$PPS_STAND_IN/calls" | sha1sum | cut -c 1-40)"; echo B1234; echo --; } >"$PPS_STAND_IN/published"
"""


class Publisher:
    """A machine that publishes, with a kit and a stand-in for `cvmfs_server`."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder = folder / "cvmfs"
        self.folder.mkdir(parents=True)
        path = make_sh(folder / "tools", shell)
        program = Path(path) / "cvmfs_server"
        program.unlink(missing_ok=True)
        program.write_text(_STAND_IN)
        program.chmod(0o755)
        self.kit = KitSite(folder / "site", People(folder / "keys", Scheme.SSH), artefacts_in(folder / "store"), path)
        self.kit.unpack()

    def publish(self, *words: str) -> tuple[int, list[str]]:
        done = subprocess.run(
            ["sh", str(self.kit.folder / "kit/bin/pps-cvmfs"), *words, "pps.example.org", "previews"],
            env={"PATH": self.kit.path, "PPS_STAND_IN": str(self.folder), "PPS_CVMFS_LOG": str(self.folder / "log"),
                 "PPS_CVMFS_PUBLISHED": str(self.folder / "published")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout.splitlines()

    @property
    def root_hash(self) -> str:
        return (self.folder / "published").read_text().splitlines()[0][1:]

    @property
    def log(self) -> list[list[str]]:
        return [line.split() for line in (self.folder / "log").read_text().splitlines()]


@pytest.fixture(params=["dash", "busybox"])
def publisher(request: pytest.FixtureRequest, tmp_path: Path) -> Publisher:
    return Publisher(tmp_path, request.param)


def test_what_is_signed_and_whole_is_published_once_and_goes_when_it_is_withdrawn(publisher: Publisher) -> None:
    kit = publisher.kit
    tarball = kit.store.make(SMALL, "1.0")
    assert publisher.publish() == (0, []), "nothing has come here"
    kit.install(tarball)
    assert publisher.publish("--dry-run") == (0, [f"{kit.what}: would publish {tarball.name}"])
    assert not (publisher.folder / "calls").exists()

    code, said = publisher.publish()

    assert (code, said) == (
        0, [f"{tarball.name} added in /cvmfs/pps.example.org/previews, root hash {publisher.root_hash}"],
    )  # fmt: skip
    there = publisher.folder / "tree/previews" / tarball.name
    seen = {str(p.relative_to(there)): p for p in there.rglob("*") if not p.is_dir()}
    assert set(seen) == {*SMALL, "MANIFEST"}, "the tree, and nothing of the site's"
    assert hashlib.sha256(seen["MANIFEST"].read_bytes()).hexdigest() == tarball.digest
    assert (str(seen["lib/libtool.so"].readlink()), seen["bin/tool"].stat().st_mode & 0o777) == ("libtool.so.1", 0o755)
    assert publisher.log[0][1:] == ["added", kit.what, "1", tarball.name, tarball.digest, publisher.root_hash]
    assert publisher.publish() == (0, []), "once"

    withdrawal = withdrawal_of(kit.statements[-1], now=now(), holds_for=WEEK)
    kit.put([kit.current(withdrawal), kit.signed(withdrawal)])
    code, said = publisher.publish()
    assert (code, said) == (
        0, [f"{tarball.name} removed in /cvmfs/pps.example.org/previews, root hash {publisher.root_hash}"],
    )  # fmt: skip
    assert not there.exists()
    assert publisher.log[1][1:] == ["removed", kit.what, "1", tarball.name, tarball.digest, publisher.root_hash]
    assert publisher.publish() == (0, [])


def test_what_is_not_whole_or_was_not_really_published_is_not_taken_for_published(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path, "dash")
    kit = publisher.kit
    tarball = kit.store.make(SMALL, "1.0")
    kit.install(tarball)
    tool = kit.root / tarball.name / "bin/tool"
    tool.write_bytes(b"something else")
    code, said = publisher.publish()
    assert (code, "is not as it was signed" in said[0], (publisher.folder / "calls").exists()) == (1, True, False)
    tool.write_bytes(SMALL["bin/tool"])  # type: ignore[arg-type]
    (publisher.folder / "published").write_text(f"C{'0' * 40}\n--\n")  # what was published before
    for trouble, says in (("fails", "repository is in a transaction"), ("does-nothing", f"names {'0' * 40} as before")):
        (publisher.folder / trouble).touch()
        code, said = publisher.publish()
        assert (code, says in said[0], publisher.log) == (1, True, []), said
        (publisher.folder / trouble).unlink()
    assert publisher.publish()[0] == 0
    assert len(publisher.log) == 1
