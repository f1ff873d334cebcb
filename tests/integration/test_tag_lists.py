"""The tag script on real tag directories, under every shell, with lcg-ManageVOTag's semantics."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.local_shell import make_sh

from pps.activities.site_script import load_script

TAG = "VO-ops-PPS-GLITE-WN-3.1.23"
CE = "ce.example.org"


@pytest.fixture(params=["dash", "bash", pytest.param("busybox", marks=pytest.mark.needs("shells"))])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return make_sh(tmp_path / "tools", request.param)


@pytest.fixture
def info(tmp_path: Path) -> Path:
    folder = tmp_path / "info"
    folder.mkdir()
    return folder


def votag(path: str, *arguments: str | Path) -> tuple[int, list[str]]:
    sh = next(p for f in path.split(":") if (p := Path(f) / "sh").exists())
    command = [str(sh), "-c", load_script("votag.sh"), "sh", *map(str, arguments)]
    done = subprocess.run(
        command, check=False, env={"PATH": path}, capture_output=True, text=True, errors="replace", timeout=60
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "PPS-VOTAG 1" and lines[-1].startswith("PPS-VOTAG-END "), done
    return done.returncode, lines


def word(lines: list[str]) -> str:
    return lines[-1].split()[1]


def tag_list(info: Path, text: str | bytes | None = None, legacy: bool = False) -> Path:
    file = info / "ops/ops.list" if legacy else info / CE / "ops/ops.list"
    if text is not None:
        file.parent.mkdir(parents=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.sd("4.1.1", step=4)
def test_the_first_tag_makes_the_list(info: Path, path: str) -> None:
    code, lines = votag(path, "add", info, CE, "ops", TAG)
    assert (code, word(lines)) == (0, "added")
    assert tag_list(info).read_text() == TAG + "\n"
    assert stat.S_IMODE(tag_list(info).stat().st_mode) == 0o644
    assert sorted(p.name for p in tag_list(info).parent.iterdir()) == ["ops.list"], "no lock, no temporary file"


def test_adding_a_tag_that_is_there_changes_nothing(info: Path, path: str) -> None:
    file = tag_list(info, f"a  {TAG}\tb\n")
    before = file.stat()
    assert word(votag(path, "add", info, CE, "ops", TAG)[1]) == "present"
    assert file.stat().st_ino == before.st_ino
    assert file.read_text() == f"a  {TAG}\tb\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{TAG}\n"),
        ("a b\nc\n", f"a b\nc\n{TAG}\n"),
        ("no newline at the end", f"no newline at the end\n{TAG}\n"),
        ("a\r\nb\r\n", f"a\r\nb\r\n{TAG}\n"),
        (f"{TAG}.1 x{TAG} {TAG}x\n", f"{TAG}.1 x{TAG} {TAG}x\n{TAG}\n"),
        (TAG.replace(".", "x") + "\n", TAG.replace(".", "x") + f"\n{TAG}\n"),
        (TAG.lower(), f"{TAG.lower()}\n{TAG}\n"),
    ],
)
def test_adding_keeps_every_byte_of_what_was_there(info: Path, path: str, before: str, after: str) -> None:
    file = tag_list(info, before)
    assert word(votag(path, "add", info, CE, "ops", TAG)[1]) == "added"
    assert file.read_bytes().decode() == after


@pytest.mark.parametrize("junk", [b"\x00\x01\xff\xfe", b"a\x00b", b"\x1b]0;x\x07 \xe2\x80\xae", os.urandom(5000)])
def test_adding_keeps_junk_as_it_is(info: Path, path: str, junk: bytes) -> None:
    file = tag_list(info, junk)
    assert word(votag(path, "add", info, CE, "ops", TAG)[1]) == "added"
    assert file.read_bytes().startswith(junk)
    assert file.read_bytes()[len(junk) :].strip() == TAG.encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{TAG}\n", ""),
        (f"a\n{TAG}\nb\n", "a\nb\n"),
        (f"a {TAG} b\n\n  c  d\n", "a b\n\n  c  d\n"),
        (f"{TAG} {TAG}\t{TAG} a\n", "a\n"),
        (f"a {TAG}.1 {TAG}", f"a {TAG}.1\n"),
    ],
)
def test_removing_keeps_the_other_tags_and_their_order(info: Path, path: str, before: str, after: str) -> None:
    file = tag_list(info, before)
    code, lines = votag(path, "remove", info, CE, "ops", TAG)
    assert (code, word(lines)) == (0, "removed")
    assert file.read_text() == after


def test_removing_an_absent_tag_fails_and_changes_nothing(info: Path, path: str) -> None:
    file = tag_list(info, f"{TAG}.1\n")
    before = file.stat()
    code, lines = votag(path, "remove", info, CE, "ops", TAG)
    assert (code, word(lines)) == (1, "absent")
    assert (file.stat().st_ino, file.read_text()) == (before.st_ino, f"{TAG}.1\n")


def test_removing_from_a_list_that_is_not_there_fails_and_makes_none(info: Path, path: str) -> None:
    code, lines = votag(path, "remove", info, CE, "ops", TAG)
    assert (code, word(lines)) == (1, "absent")
    assert list(info.iterdir()) == []


def test_a_list_that_is_no_text_is_not_edited(info: Path, path: str) -> None:
    file = tag_list(info, b"x\x00y " + TAG.encode() + b"\n")
    code, lines = votag(path, "remove", info, CE, "ops", TAG)
    assert (code, word(lines)) == (2, "refused")
    assert file.read_bytes() == b"x\x00y " + TAG.encode() + b"\n"


def test_listing_shows_tags_and_defuses_junk(info: Path, path: str) -> None:
    tag_list(info, b"a b\n\n\tc\x1b[2J\x00d\r\n" + TAG.encode())
    code, lines = votag(path, "list", info, CE, "ops")
    assert code == 0
    assert lines[1:-1] == ["PPS-TAG a", "PPS-TAG b", "PPS-TAG c?[2J", "PPS-TAG d", f"PPS-TAG {TAG}"]


def test_the_legacy_list_is_used_where_only_that_exists(info: Path, path: str) -> None:
    file = tag_list(info, "old\n", legacy=True)
    assert word(votag(path, "add", info, CE, "ops", TAG)[1]) == "added"
    assert file.read_text() == f"old\n{TAG}\n"
    assert not (info / CE).exists()


def test_the_legacy_list_is_left_alone_where_the_new_one_exists(info: Path, path: str) -> None:
    legacy, new = tag_list(info, "old\n", legacy=True), tag_list(info, "new\n")
    votag(path, "add", info, CE, "ops", TAG)
    assert (legacy.read_text(), new.read_text()) == ("old\n", f"new\n{TAG}\n")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_mode_of_the_list_is_kept(info: Path, path: str, mode: int) -> None:
    file = tag_list(info, "a\n")
    file.chmod(mode)
    votag(path, "add", info, CE, "ops", TAG)
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_list_that_is_a_link_stays_one(info: Path, path: str, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.list"
    real.write_text("a\n")
    file = tag_list(info)
    file.parent.mkdir(parents=True)
    file.symlink_to(real)
    votag(path, "add", info, CE, "ops", TAG)
    assert file.is_symlink()
    assert real.read_text() == f"a\n{TAG}\n"


@pytest.mark.parametrize(
    "tag",
    [
        "", "PPS", "VO-ops-", "VO-atlas-X", "VO-tagname-!!", "VO-ops-a b", "VO-ops-a\n", "VO-ops-a\nVO-ops-b",
        "VO-ops-$(id)", "VO-ops-`id`",
        "VO-ops-;id", "VO-ops-*", "-rf", "VO-ops-é", "VO-ops-" + "x" * 300, "VO-ops-../../x", "VO-ops-a|b",
    ],
)  # fmt: skip
def test_a_malformed_tag_is_refused_and_nothing_is_written(info: Path, path: str, tag: str) -> None:
    for action in ("add", "remove"):
        code, lines = votag(path, action, info, CE, "ops", tag)
        assert (code, word(lines)) == (2, "refused")
    assert list(info.iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", ".ssh", "a/b", "a b", "-rf", "$(id)", "a\n"])
def test_a_malformed_vo_or_subcluster_is_refused(info: Path, path: str, name: str) -> None:
    assert votag(path, "add", info, name, "ops", TAG)[0] == 2
    assert votag(path, "add", info, CE, name, f"VO-{name}-x")[0] == 2
    assert list(info.iterdir()) == []


def test_a_missing_tag_directory_is_a_failure_of_the_site(tmp_path: Path, path: str) -> None:
    code, lines = votag(path, "add", tmp_path / "nowhere", CE, "ops", TAG)
    assert (code, word(lines)) == (4, "failed")


def test_many_at_once_lose_no_tag(info: Path, path: str) -> None:
    tags = [f"VO-ops-{n}" for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda tag: votag(path, "add", info, CE, "ops", tag), tags))
    assert {word(lines) for _, lines in answers} == {"added"}
    assert sorted(tag_list(info).read_text().split()) == tags


def test_a_reader_never_sees_half_a_list(info: Path, path: str) -> None:
    file = tag_list(info, "x" * 200_000 + "\nlast\n")
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(lambda: [votag(path, a, info, CE, "ops", TAG) for a in ("add", "remove") * 3])
        while not work.done():
            assert "last" in file.read_text().split()
    assert all(code == 0 for code, _ in work.result())


def test_the_lock_of_somebody_who_died_long_ago_is_taken(info: Path, path: str) -> None:
    file = tag_list(info, "a\n")
    lock = file.parent / ".pps-votag.lock"
    lock.mkdir()
    (lock / "since").write_text(f"{int(time.time()) - 4000}\n")
    assert word(votag(path, "add", info, CE, "ops", TAG)[1]) == "added"
    assert not lock.exists()


@pytest.mark.needs("root")
def test_a_full_disk_keeps_the_old_list(tmp_path: Path) -> None:
    path = make_sh(tmp_path / "tools", "dash")
    small = tmp_path / "small"
    small.mkdir()
    # a file system of our own, in a mount namespace that ends with the process
    script = """
        mount -t tmpfs -o size=16k tmpfs "$1" && mkdir -p "$1/$2/ops" && echo old >"$1/$2/ops/ops.list"
        dd if=/dev/zero of="$1/fill" bs=1k count=64 2>/dev/null
        sh -c "$4" sh add "$1" "$2" ops "$3"
        echo "exit $?"
        cat "$1/$2/ops/ops.list"
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(small), CE, TAG, load_script("votag.sh")],
        check=True, env={"PATH": path}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "exit 4" in done.stdout, done
    assert done.stdout.splitlines()[-1] == "old"
