"""A function that runs in a child: what it may take, what it sees, and how it ends."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pps.adapters.packages.confined import Confined, Limits
from pps.domain.base.errors import HostileArchiveError, PackageError, ServiceError

SMALL = Limits(memory_bytes=1 << 28, cpu_s=1, wall_s=30, file_bytes=1 << 20)


def echo(*words: object) -> object:
    return [*words, os.getpid(), os.getppid()]


def world() -> object:
    # where each of our descriptors leads
    here = Path("/proc/self/fd")
    open_files = [str(p.readlink()) for p in here.iterdir() if p.is_symlink()] if sys.platform == "linux" else []
    return [dict(os.environ), open_files, str(Path.cwd())]


def refuse() -> None:
    raise HostileArchiveError("x.deb", "is hostile.", "Ask.")


def misbehave(how: str, where: str) -> object:
    if how == "memory":
        return len(bytearray(1 << 30))
    while how == "cpu":
        pass
    if how == "wall":
        signal.pause()
    if how == "file":
        Path(where).write_bytes(bytes(1 << 21))
    if how == "disk":
        Path("/dev/full").write_bytes(b"x")
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "exit":
        raise SystemExit(0)
    if how == "talk":
        return "x" * (65 << 20)
    raise LookupError(how)


@pytest.fixture(scope="module")
def confined() -> Confined:
    return Confined(SMALL)


def test_answers_and_errors_come_back_as_they_are(confined: Confined) -> None:
    *words, child, parent = confined.call("x", echo, "a", 1, None)
    assert words == ["a", 1, None]
    assert os.getpid() not in (child, parent)
    with pytest.raises(HostileArchiveError) as caught:
        confined.call("x", refuse)
    assert (caught.value.subject, caught.value.why, caught.value.next_step) == ("x.deb", "is hostile.", "Ask.")


def test_all_calls_share_one_python_and_none_a_process(confined: Confined) -> None:
    answers = [confined.call("x", echo) for _ in range(3)]
    assert len({parent for _, parent in answers}) == 1
    assert len({child for child, _ in answers}) == 3


def test_the_child_sees_no_secrets_and_no_open_files(
    confined: Confined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://secret")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        with_secret = Confined(SMALL)
        variables, files, folder = with_secret.call("x", world)
        assert str(tmp_path / "open") not in files
    assert set(variables) <= {"PATH", "LC_ALL", "LD_LIBRARY_PATH", "__CF_USER_TEXT_ENCODING"}
    assert folder == "/"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("memory", "takes more than 268435456 bytes of memory"),
        ("cpu", "takes more than 1 s of computing time"),
        ("file", "unpacks to more than 1048576 bytes"),
        ("crash", "unexpected end"),
        ("exit", "unexpected end"),
        ("talk", "says more than any package|bytes of memory"),
        ("anything", r"cannot be read \(LookupError\)"),
    ],
)
@pytest.mark.needs("linux")
def test_whatever_happens_ends_in_a_sentence_about_the_file(
    confined: Confined, tmp_path: Path, how: str, words: str
) -> None:
    with pytest.raises(PackageError, match=words) as caught:
        confined.call("odd.deb", misbehave, how, str(tmp_path / "out"))
    assert caught.value.subject == "odd.deb"
    assert confined.call("x", echo, "still there")[0] == "still there"


@pytest.mark.slow
def test_who_sleeps_is_ended(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="longer than 1 s"):
        Confined(Limits(wall_s=1)).call("odd.deb", misbehave, "wall", "")


@pytest.mark.needs("linux")
def test_a_full_disk_is_not_the_provider_s_fault(confined: Confined) -> None:
    with pytest.raises(ServiceError, match="Look at this machine"):
        confined.call("odd.deb", misbehave, "disk", "")


def gone(pid: int) -> bool:
    """Tell whether a process has ended; wait for it as long as a test may."""
    for _ in range(3000):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)  # until a condition holds: there is no event for the end of somebody else's child
    return False


@pytest.mark.needs("linux")
def test_the_child_ends_with_the_object_that_started_it() -> None:
    confined = Confined(SMALL)
    _, parent = confined.call("x", echo)
    del confined
    gc.collect()
    assert gone(parent)


@pytest.mark.needs("linux")
def test_the_child_ends_with_the_process_that_started_it_even_at_work(tmp_path: Path) -> None:
    program = (
        "import sys, threading; sys.path[:0] = sys.argv[2:]\n"
        "from pps.adapters.packages.confined import Confined, Limits\n"
        "from tests.unit.adapters.packages.test_confined import echo, misbehave\n"
        "confined = Confined(Limits()); print(*confined.call('x', echo), flush=True)\n"
        "confined.call('x', misbehave, 'wall', '')\n"
    )
    root = Path(__file__).parents[4]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "x", str(root), str(root / "plugins")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        parent = int(process.stdout.readline().split()[1])
        children = Path(f"/proc/{parent}/task/{parent}/children")
        while not (at_work := children.read_text().split()):
            assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert gone(parent)
    assert gone(int(at_work[0]))


def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next(
    confined: Confined, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pps.adapters.packages.confined._received", interrupted)
        with pytest.raises(KeyboardInterrupt):
            confined.call("x", echo, "first")
    assert confined.call("x", echo, "second")[0] == "second"


def test_a_child_that_somebody_has_ended_is_started_again(confined: Confined) -> None:
    _, parent = confined.call("x", echo)
    os.kill(parent, signal.SIGKILL)
    _, other = confined.call("x", echo)
    assert other != parent


@pytest.mark.needs("linux")
def test_after_a_fork_each_process_has_a_child_of_its_own(confined: Confined) -> None:
    _, ours = confined.call("x", echo)
    reader, writer = os.pipe()
    if (forked := os.fork()) == 0:
        try:
            os.write(writer, str(confined.call("x", echo)[1]).encode())
            confined.close()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        theirs = int(pipe.read())
    os.waitpid(forked, 0)
    assert theirs != ours
    assert confined.call("x", echo)[1] == ours
    assert gone(theirs)
