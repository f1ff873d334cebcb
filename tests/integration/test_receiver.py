"""The receiver, run by every shell that a site may have: complete or not there, whatever happens."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.support.local_shell import kept_sh, make_sh
from tests.support.previews import SMALL, FolderArtefacts, Tree, artefacts_in

from pps.activities.packages.payloads import prepare_payload
from pps.activities.ports.packages import Tarball
from pps.activities.sites.receiver import receiver_script
from pps.domain.packages.manifest import Manifest

pytestmark = pytest.mark.needs("openssh")
NEXT: Tree = {
    **{k: v for k, v in SMALL.items() if not k.startswith("etc/")},
    "bin/tool": b"#!/bin/sh\necho 3\n",
    "moved/name with  blanks": b"blanks",
}


@dataclass(frozen=True)
class AtSite:
    """A site's folder on this machine, and one of its shells."""

    folder: Path
    path: str = os.environ["PATH"]
    as_user: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.folder / "previews"

    def run(
        self, *arguments: str, stdin: bytes = b"", prefix: str = "", seconds: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        command = [*prefix.split(), *self.command(*arguments)]
        return subprocess.run(
            command, input=stdin, capture_output=True, timeout=seconds, check=False, env=self.environment
        )

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": self.path, "HOME": "/", **self.variables}

    def command(self, *arguments: str) -> list[str]:
        return [*self.as_user.split(), "/bin/sh", "-c", receiver_script(), "receiver", *arguments]

    def arguments(self, tarball: Tarball, *more: str) -> list[str]:
        return [
            "install",
            tarball.name,
            tarball.digest,
            str(self.root),
            str(self.folder / "production"),
            "/etc/profile.d",
            *more,
        ]

    def install(self, tarball: Tarball, payload: Path, base: str = "", *more: str, prefix: str = "") -> list[str]:
        answer = f"delta {base}\n" if base else "full\n"
        done = self.run(*self.arguments(tarball, *more), stdin=answer.encode() + payload.read_bytes(), prefix=prefix)
        return done.stdout.decode().splitlines()

    def look(self, tarball: Tarball) -> str:
        done = self.run("look", tarball.name, tarball.digest, str(self.root))
        return done.stdout.decode().splitlines()[-1]

    def left_behind(self) -> list[str]:
        """What an installer should have taken away again; the newest lock and its `free` stay."""
        return sorted(p.name for p in (self.root / ".pps").iterdir() if not p.name.startswith(("lock.", "free.")))


@pytest.fixture(params=["dash", "bash", "busybox", "toybox"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> AtSite:
    path = kept_sh(request.param)
    (tmp_path / "site" / "production" / "bin").mkdir(parents=True)
    (tmp_path / "site" / "production" / "bin" / "tool").write_text("production")
    return AtSite(tmp_path / "site", path)


@pytest.fixture
def one_site(tmp_path: Path) -> AtSite:
    return AtSite(tmp_path / "site")


@pytest.fixture
def store(tmp_path: Path) -> FolderArtefacts:
    return artefacts_in(tmp_path / "store")


def payload(store: FolderArtefacts, tarball: Tarball, base: Tarball | None = None) -> Path:
    manifest, below = (
        Manifest.parse(store.local(t.name, "MANIFEST").read_text()) if t else None for t in (tarball, base)
    )
    assert manifest is not None
    return prepare_payload(tarball, manifest, below, store, store.folder.parent / "cache")


def content(folder: Path) -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            files[str(path.relative_to(folder))] = str(path.readlink())
        elif path.is_file():
            files[str(path.relative_to(folder))] = path.read_bytes()
    return files


def test_a_preview_is_installed_whole_with_its_marks(site: AtSite, store: FolderArtefacts) -> None:
    tarball = store.make(SMALL, "1.0")

    said = site.install(tarball, payload(store, tarball))

    assert said[0] == "PPS-HELLO 1"
    assert said[1].startswith("PPS-PRODUCTION names:")
    assert [line.partition(" ")[0] for line in said[2:]] == ["PPS-READY", "PPS-GOT", "PPS-INSTALLED"]
    assert said[-1] == f"PPS-INSTALLED {tarball.name}"
    tree = content(site.root / tarball.name)
    assert tree.pop("MANIFEST") == store.local(tarball.name, "MANIFEST").read_bytes()
    assert tree.pop(".pps-ok") == f"{tarball.digest}\n".encode()
    assert tree.pop(".pps-site") == b"/etc/profile.d\n"
    assert tree == SMALL
    assert stat.S_IMODE((site.root / tarball.name / "bin/tool").stat().st_mode) == 0o755
    assert site.look(tarball) == "PPS-LOOK intact"
    assert site.left_behind() == []


def test_installing_again_only_looks(site: AtSite, store: FolderArtefacts) -> None:
    tarball = store.make(SMALL, "1.0")
    site.install(tarball, payload(store, tarball))
    before = (site.root / tarball.name).stat().st_ino

    assert site.install(tarball, payload(store, tarball))[-1] == "PPS-ALREADY list"
    assert site.install(tarball, payload(store, tarball), "", "60", "full")[-1] == "PPS-ALREADY full"
    assert (site.root / tarball.name).stat().st_ino == before


def test_files_that_an_earlier_preview_has_are_linked_also_where_they_moved(
    site: AtSite, store: FolderArtefacts
) -> None:
    old, new = store.make(SMALL, "1.0"), store.make(NEXT, "1.1")
    site.install(old, payload(store, old))
    delta = payload(store, new, old)

    said = site.install(new, delta, old.name)

    assert f"PPS-HAS {old.name} {old.digest}" in said
    assert said[-1] == f"PPS-INSTALLED {new.name}"
    assert site.look(new) == site.look(old) == "PPS-LOOK intact"
    first, second = site.root / old.name, site.root / new.name
    assert (first / "lib/libtool.so.1").stat().st_ino == (second / "lib/libtool.so.1").stat().st_ino
    assert (first / "etc/name with  blanks").stat().st_ino == (second / "moved/name with  blanks").stat().st_ino
    assert (first / "bin/tool").read_bytes() != (second / "bin/tool").read_bytes()


def test_a_removed_preview_leaves_shared_files_to_the_others(site: AtSite, store: FolderArtefacts) -> None:
    old, new = store.make(SMALL, "1.0"), store.make(NEXT, "1.1")
    site.install(old, payload(store, old))
    site.install(new, payload(store, new, old), old.name)

    first = site.run("remove", old.name, str(site.root))
    again = site.run("remove", old.name, str(site.root))

    assert first.stdout.decode().splitlines()[-1] == f"PPS-REMOVED {old.name}"
    assert again.stdout.decode().splitlines()[-1] == "PPS-REMOVED absent"
    assert site.look(old) == "PPS-LOOK absent"
    assert site.look(new) == "PPS-LOOK intact"
    assert site.left_behind() == []


def test_what_is_being_installed_cannot_be_removed_as_absent(site: AtSite, store: FolderArtefacts) -> None:
    tarball = store.make(SMALL, "1.0")
    lock = site.root / ".pps/lock.1"
    lock.parent.mkdir(parents=True)
    lock.symlink_to(f"{os.uname().nodename}:{os.getpid()}:{int(time.time()) + 600}")

    busy = site.run("remove", tarball.name, str(site.root)).stdout.decode().splitlines()[-1]
    (lock.parent / "free.1").symlink_to("done")
    absent = site.run("remove", tarball.name, str(site.root)).stdout.decode().splitlines()[-1]

    assert busy.startswith("PPS-REFUSE busy another installer is at work")
    assert absent == "PPS-REMOVED absent"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda p: (p / "lib/libtool.so.1").write_bytes(b"Library" * 1000), "lib/libtool.so.1 has another content"),
        (lambda p: (p / "bin/tool").chmod(0o777), "bin/tool has mode -rwxrwxrwx"),
        (lambda p: (p / "bin/tool").unlink(), "bin/tool is missing"),
        (lambda p: (p / "bin/extra").write_text(""), "bin/extra is not in MANIFEST"),
        (lambda p: (p / "bin/new\nline").write_text(""), "is not in MANIFEST"),
        (
            lambda p: ((p / "lib/libtool.so").unlink(), (p / "lib/libtool.so").symlink_to("evil")),
            "lib/libtool.so leads to evil",
        ),
        (lambda p: (p / "lib").chmod(0o777), "lib has mode drwxrwxrwx"),
        (
            lambda p: (p / "MANIFEST").write_text((p / "MANIFEST").read_text() + "d - 0755 0 x\n"),
            "MANIFEST has another digest",
        ),
        (lambda p: (p / "MANIFEST").unlink(), "MANIFEST is missing"),
        (lambda p: (p / ".pps-ok").unlink(), ".pps-ok is missing"),
    ],
    ids=["content", "mode", "missing", "extra", "newline", "link", "folder", "manifest", "no-manifest", "no-mark"],
)
def test_a_look_finds_every_kind_of_damage_and_an_installation_repairs_it(
    site: AtSite, store: FolderArtefacts, harm: object, said: str
) -> None:
    tarball = store.make(SMALL, "1.0")
    site.install(tarball, payload(store, tarball))
    harm(site.root / tarball.name)  # type: ignore[operator]

    assert said in site.look(tarball)
    assert site.install(tarball, payload(store, tarball), "", "60", "full")[-1] == f"PPS-INSTALLED {tarball.name}"
    assert site.look(tarball) == "PPS-LOOK intact"
    assert site.left_behind() == []


def test_a_tampered_base_is_noticed_and_nothing_is_installed(site: AtSite, store: FolderArtefacts) -> None:
    old, new = store.make(SMALL, "1.0"), store.make(NEXT, "1.1")
    site.install(old, payload(store, old))
    (site.root / old.name / "lib/libtool.so.1").write_bytes(b"LIBRARY" * 1000)

    said = site.install(new, payload(store, new, old), old.name)

    assert said[-1].startswith(
        "PPS-REFUSE damaged what arrived is not what was sent: lib/libtool.so.1 has another content"
    )
    assert site.look(new) == "PPS-LOOK absent"
    assert site.left_behind() == []


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_payload_that_is_cut_is_refused(site: AtSite, store: FolderArtefacts, cut: int) -> None:
    tarball = store.make({**SMALL, "bin/big": os.urandom(100_000)}, "1.0")
    data = payload(store, tarball).read_bytes()

    done = site.run(*site.arguments(tarball), stdin=b"full\n" + data[: cut if cut >= 0 else len(data) - 20_000])

    assert done.returncode == 1
    assert done.stdout.decode().splitlines()[-1].startswith(("PPS-REFUSE unpack", "PPS-REFUSE damaged"))
    assert site.look(tarball) == "PPS-LOOK absent"
    assert site.left_behind() == []


def test_a_flipped_bit_is_refused(site: AtSite, store: FolderArtefacts) -> None:
    tarball = store.make({**SMALL, "bin/big": os.urandom(100_000)}, "1.0")
    data = bytearray(payload(store, tarball).read_bytes())
    data[50_000] ^= 1

    done = site.run(*site.arguments(tarball), stdin=b"full\n" + bytes(data))

    assert b"PPS-REFUSE" in done.stdout
    assert site.look(tarball) == "PPS-LOOK absent"


def test_a_payload_of_another_tarball_is_refused(site: AtSite, store: FolderArtefacts) -> None:
    tarball, other = store.make(SMALL, "1.0"), store.make(NEXT, "1.1")

    said = site.install(replace(tarball, digest=other.digest), payload(store, tarball))

    assert said[-1].startswith("PPS-REFUSE damaged")


def test_read_only_folders_can_be_filled_swept_and_removed(site: AtSite, store: FolderArtefacts) -> None:
    tarball = store.make(SMALL, "1.0", {"bin": 0o555, "lib": 0o555})

    assert site.install(tarball, payload(store, tarball))[-1] == f"PPS-INSTALLED {tarball.name}"
    assert site.look(tarball) == "PPS-LOOK intact"
    site.run("remove", tarball.name, str(site.root))
    assert site.left_behind() == []


@pytest.mark.parametrize("name", ["../x", ".pps", "a/b", "", "a b", "$(id)", "-rf", "a\nb"])
def test_names_and_paths_that_are_none_are_refused(site: AtSite, store: FolderArtefacts, name: str) -> None:
    tarball = store.make(SMALL, "1.0")

    for arguments in (["look", name, tarball.digest, str(site.root)], ["remove", name, str(site.root)]):
        done = site.run(*arguments)
        assert done.stdout.startswith(b"PPS-REFUSE usage not a name")
        assert len(done.stdout.splitlines()) == 1
    assert b"not an absolute path" in site.run("remove", tarball.name, "previews").stdout


def test_where_a_site_asks_for_it_the_content_of_production_is_compared_and_nothing_but_it(
    site: AtSite, store: FolderArtefacts
) -> None:
    tarball = store.make(SMALL, "1.0")
    tool = site.folder / "production/bin/tool"

    def digest() -> str:
        said = site.run(*site.arguments(tarball, "60", "list", "content")).stdout.decode().splitlines()
        return said[1].split()[1]

    def changed(act: object) -> bool:
        before = digest()
        act()  # type: ignore[operator]
        return digest() != before

    assert not changed(lambda: site.install(tarball, payload(store, tarball)))
    assert not changed(lambda: os.utime(tool, (0, 0)))
    assert changed(lambda: tool.write_text("Production"))
    assert changed(lambda: tool.chmod(0o700))
    assert changed(lambda: (site.folder / "production/link").symlink_to("a"))
    assert not changed(lambda: os.utime(site.folder / "production/link", (0, 0), follow_symlinks=False))
    assert changed(
        lambda: ((site.folder / "production/link").unlink(), (site.folder / "production/link").symlink_to("b"))
    )
    assert changed((site.folder / "production/empty").mkdir)
    shutil.rmtree(site.folder / "production")
    assert digest() == "absent"


def test_help_says_how_it_is_used(site: AtSite) -> None:
    assert site.run("--help").stdout.startswith(b"usage: receiver install NAME DIGEST")
    assert site.run().returncode == 2


@pytest.mark.parametrize("depth", ["list", "full"])
@pytest.mark.parametrize("before", ["absent", "damaged"])
def test_what_another_installer_brought_meanwhile_stays_where_it_is(
    site: AtSite, store: FolderArtefacts, depth: str, before: str
) -> None:
    tarball = store.make(SMALL, "1.0")
    file, tool = payload(store, tarball), site.root / tarball.name / "bin/tool"
    if before == "damaged":
        site.install(tarball, file)
        tool.unlink()
    command = site.command(*site.arguments(tarball, "60", depth))
    with subprocess.Popen(command, env=site.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as slow:
        assert slow.stdin is not None and slow.stdout is not None
        while slow.stdout.readline() != b"PPS-READY\n":
            pass
        assert site.install(tarball, file)[-1] == f"PPS-INSTALLED {tarball.name}"
        brought = (site.root / tarball.name).stat().st_ino
        with suppress(BrokenPipeError):
            slow.stdin.write(b"full\n" + file.read_bytes())
            slow.stdin.close()
        assert slow.stdout.read() == f"PPS-ALREADY {depth}\n".encode()
    assert (site.root / tarball.name).stat().st_ino == brought
    assert site.look(tarball) == "PPS-LOOK intact"


def test_of_twelve_installers_at_once_exactly_one_installs(one_site: AtSite, store: FolderArtefacts) -> None:
    for round_ in range(5):
        tarball = store.make({**SMALL, "bin/big": os.urandom(200_000)}, f"1.{round_}")
        file = payload(store, tarball)
        with ThreadPoolExecutor(12) as pool:
            said = [s[-1] for s in pool.map(one_site.install, [tarball] * 12, [file] * 12)]

        assert said.count(f"PPS-INSTALLED {tarball.name}") == 1, said
        assert all(s.startswith(("PPS-INSTALLED", "PPS-REFUSE busy", "PPS-ALREADY")) for s in said)
        assert one_site.look(tarball) == "PPS-LOOK intact"
        assert one_site.left_behind() == []


def test_of_twelve_that_find_a_dead_owner_exactly_one_takes_over(one_site: AtSite, store: FolderArtefacts) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for round_ in range(5):
        tarball = store.make({**SMALL, "bin/big": os.urandom(200_000)}, f"1.{round_}")
        file = payload(store, tarball)
        folder = one_site.root / ".pps"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lock.100000").symlink_to(f"{os.uname().nodename}:{dead.pid}:{int(time.time()) + 1000}")
        (folder / "stage.100000").mkdir()
        with ThreadPoolExecutor(12) as pool:
            said = [s[-1] for s in pool.map(one_site.install, [tarball] * 12, [file] * 12)]

        assert said.count(f"PPS-INSTALLED {tarball.name}") == 1, said
        assert one_site.left_behind() == []
        shutil.rmtree(folder)


def test_a_live_owner_is_respected_until_its_time_is_over(one_site: AtSite, store: FolderArtefacts) -> None:
    tarball = store.make(SMALL, "1.0")
    folder = one_site.root / ".pps"
    folder.mkdir(parents=True)
    lock = folder / "lock.1"

    for owner, busy in [
        (f"{os.uname().nodename}:{os.getpid()}:{int(time.time()) + 1000}", True),
        (f"another-host:1:{int(time.time()) + 1000}", True),
        ("another-host:1:1000", False),
    ]:
        lock.unlink(missing_ok=True)
        lock.symlink_to(owner)
        said = one_site.install(tarball, payload(store, tarball))[-1]
        assert said.startswith("PPS-REFUSE busy") == busy, said


def test_killed_at_any_instant_there_is_never_a_part_and_the_next_run_converges(
    one_site: AtSite, store: FolderArtefacts
) -> None:
    chance = random.Random(4711)
    old = store.make(SMALL, "1.0")
    new = store.make({**NEXT, **{f"share/{n}": os.urandom(5000) for n in range(100)}}, "1.1")
    full, delta = payload(store, new), payload(store, new, old)
    one_site.install(old, payload(store, old))
    began = time.monotonic()
    one_site.install(new, delta, old.name)
    usual = time.monotonic() - began
    seen = set()
    for attempt in range(40):
        if attempt % 10 == 0:
            one_site.run("remove", new.name, str(one_site.root))
        command = one_site.command(*one_site.arguments(new, "60", "full"))
        if attempt % 2:  # a damaged one is replaced: two renames
            target = one_site.root / new.name / "bin/tool"
            if target.exists():
                target.write_text("damaged")
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
        assert process.stdin is not None
        answer, file = (b"full\n", full) if attempt % 3 else (f"delta {old.name}\n".encode(), delta)
        try:
            process.stdin.write(answer + file.read_bytes())
            process.stdin.close()
        except BrokenPipeError:
            pass
        time.sleep(chance.uniform(0, usual * 1.2))
        # As a machine that goes down: the shell and all that it started, at once.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        state = one_site.look(new)
        seen.add(state.split()[1])
        assert state in ("PPS-LOOK absent", "PPS-LOOK intact") or "bin/tool" in state, state
        assert one_site.look(old) == "PPS-LOOK intact"
    assert "absent" in seen

    assert one_site.install(new, full, "", "60", "full")[-1].startswith(("PPS-INSTALLED", "PPS-ALREADY"))
    one_site.run("remove", old.name, str(one_site.root))
    assert one_site.look(new) == "PPS-LOOK intact"
    assert one_site.left_behind() == []


def test_a_full_disk_is_named_and_cleaned_up_and_with_space_the_same_succeeds(
    one_site: AtSite, store: FolderArtefacts
) -> None:
    tarball = store.make({**SMALL, "bin/big": os.urandom(2_000_000)}, "1.0")
    file = payload(store, tarball)

    said = one_site.install(tarball, file, prefix="prlimit --fsize=1000000")

    assert said[-1].startswith("PPS-REFUSE disk quota or disk full"), said
    assert one_site.look(tarball) == "PPS-LOOK absent"
    assert one_site.left_behind() == []
    assert one_site.install(tarball, file)[-1] == f"PPS-INSTALLED {tarball.name}"


@pytest.mark.needs("root")
def test_a_file_system_without_space_is_named_too(one_site: AtSite, store: FolderArtefacts, tmp_path: Path) -> None:
    tarball = store.make({**SMALL, **{f"bin/{n}": os.urandom(40_000) for n in range(50)}}, "1.0")
    answer = tmp_path / "answer"
    answer.write_bytes(b"full\n" + payload(store, tarball).read_bytes())
    one_site.root.mkdir(parents=True)
    script = tmp_path / "receiver"
    script.write_text(receiver_script())
    arguments = " ".join(f"'{a}'" for a in one_site.arguments(tarball))
    steps = f"""
        mount -t tmpfs -o size=600k,mode=755 tmpfs '{one_site.root}'
        sh '{script}' {arguments} <'{answer}'; ls -A '{one_site.root}/.pps'
        mount -o remount,size=60m '{one_site.root}'
        sh '{script}' {arguments} <'{answer}'"""
    done = subprocess.run(["unshare", "-m", "sh", "-c", steps], capture_output=True, text=True, check=True, timeout=60)

    assert "PPS-REFUSE disk quota or disk full" in done.stdout
    assert "stage." not in done.stdout
    assert done.stdout.splitlines()[-1] == f"PPS-INSTALLED {tarball.name}"


def test_what_shares_a_file_keeps_its_mode_when_an_account_without_root_sweeps_up(
    store: FolderArtefacts, tmp_path: Path
) -> None:
    modes = {"lib": 0o555, "lib/libtool.so.1": 0o444}
    old, new = store.make(SMALL, "1.0", modes), store.make({**SMALL, "bin/tool": b"3"}, "1.1", modes)
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups" if os.getuid() == 0 else ""
    with tempfile.TemporaryDirectory() as folder:
        if nobody:
            os.chown(folder, 65534, 65534)
        Path(folder).chmod(0o755)
        site = AtSite(Path(folder), as_user=nobody)
        assert site.install(old, payload(store, old))[-1] == f"PPS-INSTALLED {old.name}"
        cut = payload(store, new, old).read_bytes()
        (tmp_path / "cut").write_bytes(cut[: len(cut) * 9 // 10])

        assert site.install(new, tmp_path / "cut", old.name)[-1].startswith("PPS-REFUSE")
        assert site.left_behind() == []
        assert site.install(new, payload(store, new, old), old.name)[-1] == f"PPS-INSTALLED {new.name}"
        site.run("remove", new.name, str(site.root))

        assert site.left_behind() == []
        assert site.look(old) == "PPS-LOOK intact"
        site.run("remove", old.name, str(site.root))


def test_a_long_look_is_no_silence(one_site: AtSite, store: FolderArtefacts, tmp_path: Path) -> None:
    tarball = store.make(SMALL, "1.0")
    one_site.install(tarball, payload(store, tarball))
    slow = Path(make_sh(tmp_path / "slow", "dash"))
    # A sleep that does not, and a disk that does: the receiver's heart beats meanwhile.
    for name, text in {"sleep": "exec /bin/sleep 0.01", "find": '/bin/sleep 1; exec /usr/bin/find "$@"'}.items():
        (slow / name).unlink()
        (slow / name).write_text(f"#!/bin/sh\n{text}\n")
        (slow / name).chmod(0o755)

    done = replace(one_site, path=str(slow)).run("look", tarball.name, tarball.digest, str(one_site.root))

    lines = done.stdout.decode().splitlines()
    assert lines.count("PPS-WAIT") > 2
    assert lines[-1] == "PPS-LOOK intact"


def test_a_transfer_that_hangs_gives_the_lock_back(one_site: AtSite, store: FolderArtefacts) -> None:
    tarball = store.make(SMALL, "1.0")
    command = one_site.command(*one_site.arguments(tarball, "1"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hanging:
        assert hanging.stdin is not None and hanging.stdout is not None
        hanging.stdin.write(b"full\n")
        hanging.stdin.flush()
        assert hanging.wait(20) == 1
        assert b"PPS-REFUSE unpack" in hanging.stdout.read()
    assert one_site.install(tarball, payload(store, tarball))[-1] == f"PPS-INSTALLED {tarball.name}"


def instead_of(site: AtSite, tool: str, text: str) -> None:
    """A program of the account's before the system's."""
    path = Path(site.path) / tool
    path.unlink()
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("room", "tar", "inflated"),
    [
        ("1000000", "", 1),
        ("10", "", 2),
        # a quota that df does not know of
        ("1000000", "case $1 in -xpof) [ -e 'LOG.full' ] || { : >'LOG.full'; exit 2; } ;; esac; ", 2),
    ],
)
def test_what_was_received_is_inflated_once_where_there_is_room_and_never_needs_more_than_before(
    tmp_path: Path, store: FolderArtefacts, room: str, tar: str, inflated: int
) -> None:
    site = AtSite(tmp_path / "site", make_sh(tmp_path / "tools", "dash"))
    (site.folder / "production").mkdir(parents=True)
    log = tmp_path / "log"
    log.touch()
    instead_of(site, "gzip", f"echo >>'{log}'; exec /usr/bin/gzip \"$@\"")
    instead_of(site, "df", f"echo Filesystem; echo /dev/disk 1000000 1 {room} 1% /")
    instead_of(site, "tar", tar.replace("LOG", str(log)) + 'exec /usr/bin/tar "$@"')
    tarball = store.make(SMALL, "1.0")

    assert site.install(tarball, payload(store, tarball))[-1] == f"PPS-INSTALLED {tarball.name}"

    begins = 1  # its MANIFEST, before anything else is believed
    assert len(log.read_text().splitlines()) == begins + inflated
    assert site.look(tarball) == "PPS-LOOK intact"
    assert site.left_behind() == []
