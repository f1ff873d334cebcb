"""Deployment scenarios in real clean roots: packages that are good, and packages, notes and machines that are not.

One minimal Debian is made for all of these tests; each scenario unpacks it anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.clean_roots import CommentingTracker
from tests.support.deployment_bench import opened
from tests.support.desks import at_desk
from tests.support.examples import NOW, sqlite_store, templates
from tests.support.provider import Provider, apt_provider  # noqa: F401
from tests.support.scenarios import a_scenario

from pps.activities.ports.clean_roots import CleanRoots
from pps.activities.quality import deployment_tests
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.roots import clean_root, debian_base
from pps.adapters.roots.clean_root import DebianRoot, DebianRoots, RootLimits
from pps.domain.base.errors import CleanRootError
from pps.domain.packages.patch import PackageRef, Patch
from pps.domain.quality.scenarios import ScenarioResult, scenario_end
from pps.domain.record.facts import Fact
from pps.domain.sites.site import Platform
from pps.sandbox.provider.package_formats import SamplePackage, write_deb

HERE = Platform("debian12", "amd64")
_PROGRAMS = "sh ls cat sleep setsid mount mknod unshare nsenter chroot grep hostname yes head mkdir true"
TOOL = "#!/bin/sh\necho grid-tool 1.0\n"
pytestmark = pytest.mark.needs("clean-root")


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> DebianRoots:
    """Real Debian. Its base is made by the first test that opens a root."""
    return DebianRoots(tmp_path_factory.mktemp("clean-roots"))


class SameRoot:
    """One real root for tests that do not break it for each other."""

    def __init__(self, root: DebianRoot) -> None:
        self.root = root

    def reasons_against(self, platform: Platform) -> tuple[str, ...]:
        return ()

    @contextmanager
    def open(self, platform: Platform) -> Iterator[DebianRoot]:
        yield self.root


@pytest.fixture(scope="session")
def same_root(roots: DebianRoots) -> Iterator[SameRoot]:
    with roots.open(HERE) as root:
        yield SameRoot(root)


@pytest.fixture(scope="session")
def small_roots(tmp_path_factory: pytest.TempPathFactory) -> DebianRoots:
    """The same roots with a base of a few programs, which is unpacked in no time."""
    cache = tmp_path_factory.mktemp("small-roots")
    made = cache / "made"
    for folder in ("bin", "dev", "proc", "tmp", "etc/apt/apt.conf.d", "usr/sbin"):
        (made / folder).mkdir(parents=True)
    for name in _PROGRAMS.split():
        program = Path(shutil.which(name) or name).resolve()
        shutil.copy(program, made / "bin" / name)
        for library in re.findall(r"/\S+", subprocess.run(["ldd", program], capture_output=True, text=True).stdout):
            if library.startswith("/lib"):
                (made / library[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(library).resolve(), made / library[1:])
    found = DebianRoots(cache)
    name = debian_base.tarball_name(debian_base.machine_sources("bookworm"), "amd64", found.clock().date())
    subprocess.run(["tar", "-C", made, "-cf", cache / name, "."], check=True)
    return found


@pytest.fixture(scope="session")
def small_root(small_roots: DebianRoots) -> Iterator[DebianRoot]:
    with small_roots.open(HERE) as root:
        yield root


@pytest.fixture
def nothing_is_left(roots: DebianRoots, small_roots: DebianRoots) -> Iterator[None]:
    """Roots of the session may be there before and after; no other ones."""

    def there() -> set[Path]:
        return {p for made in (roots, small_roots) for p in (made.cache / "work").glob("*") if p.name != ".door"}

    before = there()
    yield
    assert there() == before


def a_package(name: str = "grid-tool", files: dict[str, str] | None = None, **more: Any) -> SamplePackage:
    ref = PackageRef(name, "1.0-1", "all")
    contents = {f"usr/bin/{name}": TOOL} if files is None else files
    return SamplePackage(ref, {path: (0o755, text) for path, text in contents.items()}, **more)


def offer(provider: Provider, *packages: SamplePackage, **different: Any) -> Patch:
    made = provider.root / "made"
    made.mkdir(exist_ok=True)
    provider.publish(*(write_deb(package, made) for package in packages))
    return replace(provider.patch(tuple(p.ref for p in packages)), provider="grid-packages@example.org", **different)


def tried(provider: Provider, patch: Patch, roots: CleanRoots) -> tuple[Fact, str, Any]:
    """Run one scenario; how it ended, its log, and the store."""
    store, www = sqlite_store(), provider.root / "www"
    name = opened(store, patch, [a_scenario()]).name
    deployment_tests.run_scenario(
        at_desk(store.rollout(name), store, patch=patch, actor="pps", clock=lambda: NOW),
        "wn",
        roots,
        provider.repositories,
        publication=PublishedFolder(www),
        keyring=provider.keyrings.get(provider.http.url),
    )
    end = scenario_end(store.rollout(name), "wn")
    assert end is not None
    return end, (www / deployment_tests.log_name(name, "wn")).read_text(), store


@pytest.mark.sd("4.2.2")
def test_an_update_that_installs_configures_and_starts_passes(
    apt_provider: Provider,
    roots: DebianRoots,
    nothing_is_left: None,
) -> None:
    notes = "```sh\necho HOST=bdii >/etc/grid-tool.conf\n```\nand\n```sh\ngrep -q bdii /etc/grid-tool.conf\n```\n"
    # it depends on a package of Debian's, so the mirror is really read
    patch = offer(apt_provider, a_package(requires=("libcap2-bin",)), special_configuration=notes)
    end, log, _ = tried(apt_provider, patch, roots)
    assert (end.payload["result"], end.payload["reason"]) == ("pass", "")
    assert [s["step"] for s in end.payload["steps"]] == [
        "look packages up",
        "make a clean root",
        "read the mirror",
        "add the repository",
        "resolve dependencies",
        "download",
        "install",
        "configuration step 1",
        "configuration step 2",
        "probe versions",
        "probe dpkg",
        "probe programs",
    ]
    assert "Setting up grid-tool (1.0-1)" in log
    assert "/usr/bin/grid-tool" in log


@pytest.mark.sd("4.2.2")
def test_an_update_whose_script_fails_goes_back_to_the_provider_with_its_log(
    apt_provider: Provider,
    same_root: SameRoot,
) -> None:
    script = "#!/bin/sh\necho cannot find the voms server\nexit 3\n"
    patch = offer(apt_provider, a_package("grid-broken", install_script=script))
    end, log, store = tried(apt_provider, patch, same_root)
    assert same_root.root.run("dpkg --purge grid-broken", 60).exit_code == 0
    assert end.payload["result"] == ScenarioResult.FAIL
    assert "post-installation script subprocess returned error exit status 3" in end.payload["reason"]
    assert "cannot find the voms server" in log
    tracker = CommentingTracker()
    deployment_tests.tell_provider(
        at_desk(store.rollout(end.rollout), store, templates=templates(), patch=patch, now=NOW, actor="pps"),
        tracker,
        publication=PublishedFolder(apt_provider.root / "www"),
        fall_back="",
    )
    ((mail, _, _),) = store.outbox(end.rollout)
    assert mail.to == "grid-packages@example.org"
    assert mail.attachments[0][2] == log
    assert "exit status 3" in tracker.comments[0][1]


def test_a_configuration_step_that_fails_is_a_failure_of_the_update(
    apt_provider: Provider,
    same_root: SameRoot,
) -> None:
    patch = offer(apt_provider, a_package("grid-conf"), special_configuration="```sh\ncat /etc/grid-conf\n```")
    end, _, _ = tried(apt_provider, patch, same_root)
    assert end.payload["result"] == ScenarioResult.FAIL
    assert "Configuration step 1" in end.payload["reason"]
    assert "/etc/grid-conf: No such file or directory" in end.payload["reason"]


@pytest.mark.needs("gpg")
def test_a_repository_that_must_be_signed_is_added_with_its_key(
    apt_provider: Provider,
    same_root: SameRoot,
    tmp_path: Path,
) -> None:
    patch = offer(apt_provider, a_package("grid-signed"))
    home, release = tmp_path / "gnupg", apt_provider.http.folder / "dists/preview/Release"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    keyring, inrelease = home / "provider.gpg", release.with_name("InRelease")
    apt_provider.keyrings = {apt_provider.http.url: keyring}
    try:
        for words in (
            ("--quick-generate-key", "provider@localhost", "ed25519", "sign", "never"),
            ("--output", keyring, "--export", "provider@localhost"),
            ("--yes", "--output", inrelease, "--clearsign", release),
        ):
            subprocess.run([*gpg, *words], check=True, capture_output=True, timeout=120)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], capture_output=True, timeout=60)
    end, _, _ = tried(apt_provider, patch, same_root)
    assert (end.payload["result"], end.payload["reason"]) == ("pass", "")
    added = same_root.root.run("cat /etc/apt/sources.list.d/pps-provider.list", 20).output
    assert "signed-by=/usr/share/keyrings/pps-provider.gpg" in added


def test_a_program_without_its_interpreter_and_a_dependency_that_nobody_has_fail(
    apt_provider: Provider,
    same_root: SameRoot,
) -> None:
    script = {"usr/bin/grid-tool": "#!/usr/bin/env python3.99\n"}
    end, _, _ = tried(apt_provider, offer(apt_provider, a_package(files=script)), same_root)
    assert end.payload["result"] == ScenarioResult.FAIL
    assert "does not find its interpreter python3.99" in end.payload["reason"]
    alone = a_package("grid-other", requires=("libgfal2-99",))
    end, _, _ = tried(apt_provider, offer(apt_provider, alone), same_root)
    assert end.payload["result"] == ScenarioResult.FAIL
    assert end.payload["steps"][-1]["step"] == "resolve dependencies"


def test_a_machine_without_the_means_is_inconclusive_and_says_what_to_do(
    apt_provider: Provider,
    roots: DebianRoots,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patch = offer(apt_provider, a_package())
    monkeypatch.setattr(clean_root, "_which", lambda program: None if program == "mmdebstrap" else program)
    end, _, _ = tried(apt_provider, patch, roots)
    assert end.payload["result"] == ScenarioResult.INCONCLUSIVE
    assert "apt-get install mmdebstrap" in end.payload["reason"]


def test_a_mirror_that_does_not_answer_is_inconclusive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = debian_base.AptSources("bookworm", ("deb http://127.0.0.1:9/debian bookworm main",), ())
    monkeypatch.setattr(debian_base, "machine_sources", lambda codename: dead)
    with pytest.raises(CleanRootError, match="a minimal bookworm could not be made"), DebianRoots(tmp_path).open(HERE):
        pass
    assert list(tmp_path.glob("*.tar")) == list(tmp_path.glob(".*.part")) == []


@pytest.mark.parametrize(
    ("platform", "says"),
    [
        ("sl5-x86_64", "does not know sl5"),
        ("debian12-sparc", "not sparc"),
        ("debian10-amd64", "has no repository for buster"),
    ],
)
def test_other_platforms_are_for_member_sites(roots: DebianRoots, platform: str, says: str) -> None:
    (reason,) = roots.reasons_against(Platform.parse(platform))
    assert says in reason


# --- what the root keeps in


@pytest.mark.parametrize(
    "attempt",
    [
        "echo x >/proc/sys/kernel/core_pattern",
        "echo x >/proc/sys/kernel/hostname",
        "mount -t tmpfs none /mnt",
        "mount -o remount,rw /proc/sys",
        "mknod /root/disk b 8 0",
        "unshare --mount true",
        "nsenter --target 1 --mount --uts chroot /proc/1/root/../.. ls /proc/1/cwd/..  | grep -q work",
    ],
)
def test_the_root_of_the_root_is_not_the_root_of_the_machine(small_root: DebianRoot, attempt: str) -> None:
    assert small_root.run(attempt, 20).exit_code != 0


def test_it_sees_no_process_and_no_file_of_the_machine(small_root: DebianRoot) -> None:
    seen = small_root.run("ls /proc | grep -c '^[0-9]'; hostname; cat /proc/mounts", 20).output
    processes, name, *mounts = seen.splitlines()
    assert int(processes) < 6
    assert name == "clean-root"
    places = {line.split()[1] for line in mounts}
    assert {p for p in places if not p.startswith(("/proc", "/dev"))} == {"/"}


def test_no_process_lives_on_when_a_script_ends_or_its_time_is_up(small_root: DebianRoot) -> None:
    ours = f"sleep {400_000_000 + os.getpid()}"  # nobody else's on this machine
    small_root.run(f"setsid {ours} >/dev/null 2>&1 & exit 0", 20)
    late = small_root.run(f"trap '' TERM INT HUP; setsid {ours} & while :; do sleep 1; done", 1)
    assert late.timed_out
    assert late.seconds < 10
    assert subprocess.run(["pgrep", "-f", ours], capture_output=True).returncode == 1


def test_endless_output_costs_no_memory_and_keeps_its_end(roots: DebianRoots, small_root: DebianRoot) -> None:
    small = replace(small_root, limits=RootLimits(output_bytes=4096))
    done = small.run("echo first; yes | head -c 50000000; echo last", 60)
    assert done.exit_code == 0
    assert done.output.startswith("first\n")
    assert done.output.endswith("last\n")
    assert "bytes left out" in done.output
    assert len(done.output) < 4200


def test_a_link_in_place_of_proc_does_not_lead_out(small_roots: DebianRoots, nothing_is_left: None) -> None:
    with small_roots.open(HERE) as root:
        assert root.run("mkdir /elsewhere; echo kept >/etc/mark", 20).exit_code == 0
        (root.folder / "proc").rmdir()
        (root.folder / "proc").symlink_to("/etc")
        with pytest.raises(CleanRootError, match="no folder of the root any more"):
            root.run("true", 20)


KILLED = """
import sys
from pathlib import Path
from pps.adapters.roots.clean_root import DebianRoots
from pps.domain.sites.site import Platform
with DebianRoots(Path(sys.argv[1])).open(Platform("debian12", "amd64")) as root:
    print("in", flush=True)
    root.run("sleep 4712 & sleep 4712", 600)
"""


@contextmanager
def busy_with_a_root(cache: Path) -> Iterator[subprocess.Popen[str]]:
    plugins = Path(__file__).parents[2] / "plugins"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(cache)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(plugins)},
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "in\n"
        wait_for_sleepers(True)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for_sleepers(there: bool) -> None:
    deadline = time.monotonic() + 20
    while (subprocess.run(["pgrep", "-f", "^sleep 4712"], capture_output=True).returncode == 0) is not there:
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_ctrl_c_ends_the_processes_and_removes_the_root(
    small_roots: DebianRoots,
    small_root: DebianRoot,
    nothing_is_left: None,
) -> None:
    with busy_with_a_root(small_roots.cache) as process:
        process.send_signal(2)
        process.wait(30)
    wait_for_sleepers(False)


def test_a_killed_run_leaves_no_process_and_the_next_one_removes_its_root(
    small_roots: DebianRoots,
    small_root: DebianRoot,
    nothing_is_left: None,
) -> None:
    with busy_with_a_root(small_roots.cache) as process:
        process.kill()
        process.wait(30)
        wait_for_sleepers(False)
    with small_roots.open(HERE):
        pass


def test_a_cache_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    with pytest.raises(CleanRootError, match=r"its folder .*/cache cannot be used \(File exists\).* try again"):
        DebianRoots(tmp_path / "cache").prepare(HERE)
