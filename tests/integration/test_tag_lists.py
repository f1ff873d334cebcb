"""The tag script on real tag directories, under every shell, with lcg-ManageVOTag's semantics."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.local_shell import kept_sh, make_sh

from pps.activities.sites.script import load_script

TAG = "VO-ops-PPS-GLITE-WN-3.1.23"
CE = "ce.example.org"

pytestmark = pytest.mark.usefixtures("usual_umask")


@pytest.fixture(params=["dash", "bash", pytest.param("busybox", marks=pytest.mark.needs("shells"))])
def path(request: pytest.FixtureRequest) -> str:
    return kept_sh(request.param)


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
        (f"a\r\n{TAG}\r\nb\r\n", "a\r\nb\r\n"),
        (f"a {TAG}\r\n{TAG}\r\n{TAG} b\r\n", "a\r\nb\r\n"),
        (f"a\r{TAG}\rb\r", "a\rb\r"),
        (f"a\r\nb\n{TAG}\rc", "a\r\nb\nc"),
        (f"{TAG}\na", "a"),
        (f"\r\n\r\n{TAG}\r\n\r\n", "\r\n\r\n\r\n"),
        (f"a\v{TAG}\fb\t{TAG}\n", "a\fb\n"),
        (f"\ufeff{TAG}\r\nb\r\n", "\ufeffb\r\n"),
        (f"caf\u00e9 {TAG} b\n", "caf\u00e9 b\n"),
        # no reader of the information system tells these from each other
        (f"{TAG.lower()}\n{TAG}\nb\n", "b\n"),
    ],
)
def test_removing_keeps_the_other_tags_their_order_and_their_lines_ends(
    info: Path, path: str, before: str, after: str
) -> None:
    file = tag_list(info, before)
    code, lines = votag(path, "remove", info, CE, "ops", TAG)
    assert (code, word(lines)) == (0, "removed")
    assert file.read_bytes().decode() == after
    assert [p.name for p in file.parent.iterdir()] == ["ops.list"]
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "absent"


@pytest.mark.parametrize("separator", ["\r\n", "\r", "\v", "\f", "\t", " ", "\x00", "\n"])
def test_what_one_action_takes_for_a_tag_all_others_do(info: Path, path: str, separator: str) -> None:
    file = tag_list(info, separator.join(["a", TAG, "b", ""]))
    assert votag(path, "list", info, CE, "ops")[1][1:-1] == ["PPS-TAG a", f"PPS-TAG {TAG}", "PPS-TAG b"]
    assert word(votag(path, "add", info, CE, "ops", TAG)[1]) == "present"
    if separator == "\x00":
        return  # no text: not edited, see below
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    assert votag(path, "list", info, CE, "ops")[1][1:-1] == ["PPS-TAG a", "PPS-TAG b"]
    assert file.read_bytes().decode().removesuffix("\n") == separator.join(["a", "b", ""]).removesuffix("\n")


@pytest.mark.parametrize("separator", ["\r", " ", "\n"])
def test_a_list_of_megabytes_is_changed_whatever_separates_its_tags(info: Path, path: str, separator: str) -> None:
    tags = [f"VO-ops-OTHER-{n:07d}" for n in range(300_000)]
    tags[200_000:200_000] = [f"{TAG}.1", TAG, f"x{TAG}"]
    file = tag_list(info, separator.join(tags))
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    tags.remove(TAG)
    assert file.read_text().rstrip("\n") == separator.join(tags).replace("\r", "\n"), "text mode reads CR as LF"


@pytest.mark.parametrize("cksum", ["exit 127", 'exec "$real" "$@"'])
def test_what_is_left_is_compared_before_it_takes_the_place_of_the_list(info: Path, tmp_path: Path, cksum: str) -> None:
    path = kept_sh("dash")
    file = tag_list(info, f"a\n{TAG}\nb\n")
    # an awk that loses a line when it edits; its other programs print no more than a place
    lossy = '"$real" "$@" | { case $* in *function*) grep -v "^b$" ;; *) cat ;; esac; }'
    path = with_tool(with_tool(path, "cksum", cksum, tmp_path), "awk", lossy, tmp_path)
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    assert file.read_text().split() == ["a", "b"]


def test_a_tag_that_stands_in_both_lists_is_removed_from_both(info: Path, path: str) -> None:
    legacy, new = tag_list(info, f"old\n{TAG}\n", legacy=True), tag_list(info, f"new\n{TAG}\n")
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    assert (legacy.read_text(), new.read_text()) == ("old\n", "new\n")
    legacy.write_text(TAG)
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    assert legacy.read_text() == ""


@pytest.mark.parametrize("kind", ["folder", "fifo", "link to nowhere", "link to itself"])
def test_what_is_no_list_is_neither_waited_for_nor_called_absent(info: Path, path: str, kind: str) -> None:
    file = tag_list(info)
    file.parent.mkdir(parents=True)
    match kind:
        case "folder":
            file.mkdir()
        case "fifo":
            os.mkfifo(file)
        case "link to nowhere":
            file.symlink_to("/nowhere/at/all")
        case _:
            file.symlink_to(file)
    for arguments in (("list", info, CE, "ops"), ("add", info, CE, "ops", TAG), ("remove", info, CE, "ops", TAG)):
        code, lines = votag(path, *arguments)
        assert (code, word(lines)) == (4, "failed")
        assert str(file) in lines[-1]


def test_a_list_in_utf_16_is_not_called_free_of_the_tag(info: Path, path: str) -> None:
    file = tag_list(info, f"a\r\n{TAG}\r\n".encode("utf-16"))
    before = file.read_bytes()
    code, lines = votag(path, "remove", info, CE, "ops", TAG)
    assert (code, word(lines)) == (2, "refused")
    assert file.read_bytes() == before


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


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".ssh",
        "-rf",
        "$(id)",
        "a\n",
        "/a",
        "a/",
        "a//b",
        "a/../b",
        "a/..",
        "../a",
        "a/.b",
        " a",
        "a ",
        "a*b",
    ],
)
def test_a_malformed_vo_or_subcluster_is_refused(info: Path, path: str, name: str) -> None:
    assert votag(path, "add", info, name, "ops", TAG)[0] == 2
    assert votag(path, "add", info, CE, name, f"VO-{name}-x")[0] == 2
    assert list(info.iterdir()) == []


@pytest.mark.parametrize("name", ["long_queue", "ce.example.org:8443/cream-pbs-ops", "batch queue", "a/b c:d_e"])
def test_an_id_that_is_no_host_name_has_its_folder_below_the_tag_directory(info: Path, path: str, name: str) -> None:
    assert word(votag(path, "add", info, name, "ops", TAG)[1]) == "added"
    file = info / name / "ops/ops.list"
    assert file.read_text() == f"{TAG}\n"
    assert f"PPS-TAG {TAG}" in votag(path, "list", info, name, "ops")[1]
    assert word(votag(path, "remove", info, name, "ops", TAG)[1]) == "removed"
    assert file.read_text() == ""


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


def test_the_lock_of_an_earlier_version_is_taken(info: Path, path: str) -> None:
    file = tag_list(info, "a\n")
    lock = file.parent / ".pps-votag.lock"
    lock.mkdir()
    (lock / "since").write_text(f"{int(time.time()) - 4000}\n")
    assert word(votag(path, "add", info, CE, "ops", TAG)[1]) == "added"
    assert not lock.exists()


@pytest.mark.needs("root")
def test_a_full_disk_keeps_the_old_list(tmp_path: Path) -> None:
    path = kept_sh("dash")
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


@pytest.mark.needs("root")
def test_a_full_disk_does_not_keep_a_tag_from_being_removed(tmp_path: Path) -> None:
    path = kept_sh("dash")
    small = tmp_path / "small"
    small.mkdir()
    script = """
        mount -t tmpfs -o size=16k tmpfs "$1" && mkdir -p "$1/$2/ops"
        printf 'a\\r\\n%s\\r\\nb\\n' "$3" >"$1/$2/ops/ops.list"
        dd if=/dev/zero of="$1/fill" bs=1k count=64 2>/dev/null
        sh -c "$4" sh remove "$1" "$2" ops "$3"
        cat "$1/$2/ops/ops.list"
        ls -A "$1/$2/ops"
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(small), CE, TAG, load_script("votag.sh")],
        check=True, env={"PATH": path}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "PPS-VOTAG-END removed" in done.stdout, done
    assert done.stdout.split("\n")[2:] == ["a", " " * len(TAG), "b", "ops.list", ""], "text mode reads CR LF as LF"


# --- whose the list is -------------------------------------------------------------------------------------------

MANAGER, GROUP, OURS = 1101, 1102, 1103


def traits(file: Path) -> tuple[int, ...]:
    status = file.stat()
    return status.st_ino, status.st_uid, status.st_gid, status.st_mode, status.st_nlink


def as_our_account(path: str, *arguments: str | Path) -> tuple[int, list[str]]:
    """The script as an account that is in the VO's group."""
    sh = next(p for f in path.split(":") if (p := Path(f) / "sh").exists())
    account = [str(shutil.which("setpriv")), f"--reuid={OURS}", f"--regid={GROUP}", "--clear-groups", str(sh)]
    done = subprocess.run(
        [*account, "-c", load_script("votag.sh"), "sh", *map(str, arguments)],
        check=False, env={"PATH": path}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("PPS-VOTAG-END "), done
    return done.returncode, lines


@pytest.fixture
def others_list(path: str) -> Iterator[Path]:
    """A list of the VO's manager in a folder of the VO's group, where any account can come by."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = tag_list(Path(folder) / "info", f"a\r\n{TAG}\r\nb\r\n")
        os.chown(file.parent, MANAGER, GROUP)
        file.parent.chmod(0o2775)
        os.chown(file, MANAGER, GROUP)
        yield file


@pytest.mark.needs("root")
@pytest.mark.parametrize("mode", [0o644, 0o444, 0o604])
def test_a_list_that_we_may_not_write_stays_as_it_is_and_its_owner_is_named(
    others_list: Path, path: str, mode: int
) -> None:
    others_list.chmod(mode)
    before, text = traits(others_list), others_list.read_bytes()
    for action, tag in (("remove", TAG), ("add", f"{TAG}.1")):
        code, lines = as_our_account(path, action, others_list.parents[2], CE, "ops", tag)
        assert (code, word(lines)) in ((2, "refused"), (4, "failed")), lines  # 0604: we cannot even read it
        assert f"{MANAGER}:{GROUP}" in lines[-1] or "cannot be read" in lines[-1]
    assert (traits(others_list), others_list.read_bytes()) == (before, text)
    assert [p.name for p in others_list.parent.iterdir()] == ["ops.list"]


@pytest.mark.needs("root")
@pytest.mark.parametrize("folder_mode", [0o2775, 0o2755], ids=["our folder, too", "only the list is ours to write"])
def test_a_list_of_somebody_else_that_we_may_write_keeps_its_owner_group_and_mode(
    others_list: Path, path: str, folder_mode: int
) -> None:
    others_list.chmod(0o664)
    others_list.parent.chmod(folder_mode)
    before, info = traits(others_list), others_list.parents[2]
    assert word(as_our_account(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    assert others_list.read_bytes().split() == [b"a", b"b"]
    assert others_list.read_bytes().count(b"\r\n") == 3, "every line keeps its end"
    assert word(as_our_account(path, "add", info, CE, "ops", TAG)[1]) == "added"
    assert others_list.read_bytes().split() == [b"a", b"b", TAG.encode()]
    assert traits(others_list) == before
    assert [p.name for p in others_list.parent.iterdir()] == ["ops.list"]


@pytest.mark.needs("root")
def test_root_changes_a_list_without_taking_it_from_its_owner(others_list: Path, path: str) -> None:
    before = traits(others_list)[1:]
    for action in ("remove", "add"):
        assert votag(path, action, others_list.parents[2], CE, "ops", TAG)[0] == 0
        assert traits(others_list)[1:] == before


@pytest.mark.needs("acl")
def test_the_access_list_of_a_list_is_kept(info: Path, path: str) -> None:
    file = tag_list(info, f"a\n{TAG}\nb\n")
    subprocess.run(["setfacl", "-m", f"u:{MANAGER}:rw", str(file)], check=True)

    def access() -> str:
        return subprocess.run(["getfacl", "-cnp", str(file)], check=True, capture_output=True, text=True).stdout

    before = access()
    for action in ("remove", "add"):
        assert votag(path, action, info, CE, "ops", TAG)[0] == 0
        assert access() == before
    assert file.read_text().split() == ["a", "b", TAG]


def test_both_names_of_a_list_show_the_change(info: Path, path: str, tmp_path: Path) -> None:
    file = tag_list(info, f"a\n{TAG}\nb\n")
    os.link(file, tmp_path / "other name")
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    assert (tmp_path / "other name").read_text().split() == ["a", "b"]
    assert word(votag(path, "add", info, CE, "ops", TAG)[1]) == "added"
    assert (tmp_path / "other name").read_text().split() == ["a", "b", TAG]
    assert file.stat().st_nlink == 2


@pytest.mark.parametrize("link", ["/nowhere/at/all", "ops"])
@pytest.mark.parametrize("depth", [0, 1])
def test_a_folder_that_leads_nowhere_is_not_called_empty(info: Path, path: str, link: str, depth: int) -> None:
    folder = (info / CE, info / CE / "ops")[depth]
    folder.parent.mkdir(exist_ok=True)
    folder.symlink_to(link if link[0] == "/" else folder.name)
    for arguments in (("list", info, CE, "ops"), ("add", info, CE, "ops", TAG), ("remove", info, CE, "ops", TAG)):
        code, lines = votag(path, *arguments)
        assert (code, word(lines)) == (4, "failed")
        assert f"{folder} is a link that leads nowhere" in lines[-1]


@pytest.mark.needs("root")
def test_a_folder_that_we_cannot_enter_is_not_called_empty(others_list: Path, path: str) -> None:
    others_list.parents[1].chmod(0o700)
    code, lines = as_our_account(path, "remove", others_list.parents[2], CE, "ops", TAG)
    assert (code, word(lines)) == (4, "failed")
    assert "cannot enter" in lines[-1]


# --- others at the same time, and the end of one of us -----------------------------------------------------------


def with_tool(path: str, name: str, text: str, tmp_path: Path) -> str:
    """A PATH whose `name` is this script; `$real` in it is the tool itself."""
    tool = shutil.which(name, path=path)
    assert tool is not None
    folder = tmp_path / f"instead of {name}"
    folder.mkdir()
    (folder / name).write_text(f"#!/bin/bash\nreal={tool}\n{text}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{path}"


def killed(path: str, pid_file: Path, *arguments: str | Path) -> None:
    """Run the script until one of its tools kills it."""
    sh = next(p for f in path.split(":") if (p := Path(f) / "sh").exists())
    script = f'echo $$ >"{pid_file}"\n{load_script("votag.sh")}'
    done = subprocess.run(
        [str(sh), "-c", script, "sh", *map(str, arguments)],
        check=False,
        env={"PATH": path},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -9, done


# once the lock is held
KILL = '[ ! -L "{1}/.pps-votag.held" ] || kill -9 "$(cat "{0}")"; exec "$real" "$@"'


@pytest.mark.parametrize("at", ["mv", "cp", "cmp", "cksum", "ls", "tail"])
def test_who_was_killed_with_the_lock_keeps_nobody_waiting_and_leaves_nothing_behind(
    info: Path, tmp_path: Path, at: str
) -> None:
    path = kept_sh("dash")
    file = tag_list(info, f"a\n{TAG}\nb\n")
    killing = with_tool(path, at, KILL.format(tmp_path / "pid", file.parent), tmp_path)
    killed(
        killing,
        tmp_path / "pid",
        "add" if at == "tail" else "remove",
        info,
        CE,
        "ops",
        f"{TAG}.1" if at == "tail" else TAG,
    )
    assert (file.parent / ".pps-votag.held").is_symlink()
    assert {"a", "b"} <= set(file.read_text().split()) <= {"a", "b", TAG}
    # the clock stands still: whoever waits, waits for ever
    path = with_tool(path, "date", 'echo "${1:+1700000000}"', tmp_path)
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) in ("removed", "absent")
    assert file.read_text() == "a\nb\n"
    assert [p.name for p in file.parent.iterdir()] == ["ops.list"]


def test_what_a_killed_first_tag_left_is_swept_also_where_there_is_no_list_yet(info: Path, tmp_path: Path) -> None:
    path = kept_sh("dash")
    folder = tag_list(info).parent
    folder.mkdir(parents=True)
    (folder / ".ops.list.pps-4711").write_text("half")
    (folder / ".pps-votag.lock").mkdir()
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "absent"
    assert list(folder.iterdir()) == []


PASSING = """
n=$(($(cat "{0}" 2>/dev/null || echo 1700000000) + 3))
echo "$n" | tee "{0}"
"""


def test_another_machines_lock_is_waited_for_and_taken_when_its_time_is_over(info: Path, tmp_path: Path) -> None:
    path = kept_sh("dash")
    file = tag_list(info, f"a\n{TAG}\n")
    held = file.parent / ".pps-votag.held"
    held.symlink_to("ce02.example.org:1103:boot:pid:[1]:4711:12345")
    path = with_tool(path, "date", PASSING.format(tmp_path / "now"), tmp_path)
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    assert file.read_text() == "a\n"
    assert 1700000010 <= int((tmp_path / "now").read_text()) <= 1700000025


def test_a_lock_whose_holder_lives_is_respected(info: Path, tmp_path: Path) -> None:
    path = kept_sh("dash")
    file = tag_list(info, f"a\n{TAG}\nb\n")
    os.mkfifo(tmp_path / "inside")
    os.mkfifo(tmp_path / "go on")
    waits = f'echo >"{tmp_path}/inside"; read x <"{tmp_path}/go on"; exec "$real" "$@"'
    slow = with_tool(path, "mv", waits, tmp_path)
    quick = with_tool(path, "date", PASSING.format(tmp_path / "now"), tmp_path)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(votag, slow, "remove", info, CE, "ops", TAG)
        (tmp_path / "inside").read_text()
        code, lines = votag(quick, "remove", info, CE, "ops", TAG)
        (tmp_path / "go on").write_text("\n")
    assert (code, word(lines)) == (3, "busy")
    assert word(first.result()[1]) == "removed"
    assert file.read_text() == "a\nb\n"


@pytest.mark.parametrize(
    ("how", "tool"),
    [
        *((how, tool) for how in ("appends", "writes anew", "replaces") for tool in ("cmp", "cp", "ls")),
        # of two who rename in the same instant, one is second
        *(("appends", "mv"), ("writes anew", "mv")),
    ],
)
def test_what_somebody_who_knows_no_lock_writes_meanwhile_is_kept(
    info: Path, tmp_path: Path, tool: str, how: str
) -> None:
    path = kept_sh("dash")
    file = tag_list(info, f"a\r\n{TAG}\r\nb\r\n")
    change = {
        "appends": f'echo VO-ops-THEIRS >>"{file}"',
        "writes anew": f'printf "VO-ops-THEIRS\\nc\\n{TAG}\\n" >"{file}"',
        "replaces": f'printf "VO-ops-THEIRS\\nc\\n{TAG}\\n" >"{file}.x"; mv "{file}.x" "{file}"',
    }[how]
    once = f'[ -e "{tmp_path}/once" ] || {{ >"{tmp_path}/once"; {change}; }}\nexec "$real" "$@"'
    code, lines = votag(with_tool(path, tool, once, tmp_path), "remove", info, CE, "ops", TAG)
    assert (code, word(lines)) == (0, "removed"), lines
    assert "VO-ops-THEIRS" in file.read_text().split() and TAG not in file.read_text().split()
    assert [p.name for p in file.parent.iterdir()] == ["ops.list"]


@pytest.mark.needs("root")
def test_who_may_write_in_the_folder_cannot_have_us_write_or_tell_a_file_of_our_own(
    others_list: Path, path: str
) -> None:
    info, ours = others_list.parents[2], others_list.parents[2].parent / "private"
    ours.write_text(f"secret {TAG}\n")
    os.chown(ours, OURS, GROUP)
    others_list.unlink()
    others_list.symlink_to(ours)
    os.chown(others_list, MANAGER, GROUP, follow_symlinks=False)
    arguments = (("list", info, CE, "ops"), ("add", info, CE, "ops", f"{TAG}.1"), ("remove", info, CE, "ops", TAG))
    for each in arguments:
        code, lines = as_our_account(path, *each)
        assert (code, word(lines)) == (4, "failed")
        assert not any("secret" in line for line in lines)
    assert ours.read_text() == f"secret {TAG}\n"
    os.chown(ours, MANAGER, GROUP)
    ours.chmod(0o664)
    assert word(as_our_account(path, *arguments[2])[1]) == "removed", "a link to a file of the manager's own is his"


def test_what_others_put_in_the_place_of_our_files_is_not_written_through(info: Path, tmp_path: Path) -> None:
    path = kept_sh("dash")
    file = tag_list(info, f"a\n{TAG}\nb\n")
    (tmp_path / "precious").write_text("precious")
    # before each of our steps, every name that we could be about to use is a link
    trap = f"""
    for n in new old was room; do ln -s "{tmp_path}/precious" "{file.parent}/$n"; done
    ln -s "{tmp_path}/precious" "{file.parent}/.ops.list.pps-$(cat "{tmp_path}/pid")"
    exec "$real" "$@"
    """
    for tool in ("mkdir", "cp"):
        path = with_tool(path, tool, f"{{ {trap}\n}} 2>/dev/null", tmp_path)
    sh = next(p for f in path.split(":") if (p := Path(f) / "sh").exists())
    script = f'echo $$ >"{tmp_path}/pid"\n{load_script("votag.sh")}'
    for action in ("remove", "add"):
        subprocess.run(
            [sh, "-c", script, "sh", action, info, CE, "ops", TAG], env={"PATH": path}, check=False, timeout=60
        )
        assert (tmp_path / "precious").read_text() == "precious"
    assert {"a", "b"} <= set(file.read_text().split())


def test_somebody_who_puts_the_tag_back_each_time_makes_no_removal_of_it(info: Path, tmp_path: Path) -> None:
    path = kept_sh("dash")
    file = tag_list(info, f"a\n{TAG}\n")
    stubborn = f'"$real" "$@"; r=$?; case $* in *ops.list | *count=0*) echo {TAG} >>"{file}" ;; esac; exit $r'
    for tool in ("mv", "dd"):
        path = with_tool(path, tool, stubborn, tmp_path)
    code, lines = votag(path, "remove", info, CE, "ops", TAG)
    assert (code, word(lines)) == (3, "busy")
    assert TAG in file.read_text()


@pytest.mark.needs("toybox")
def test_toyboxs_tools_will_do(info: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in subprocess.run(["toybox"], check=True, capture_output=True, text=True).stdout.split():
        (folder / name).symlink_to(str(shutil.which("toybox")))
    (folder / "sh").unlink(missing_ok=True)
    path = make_sh(folder, "dash")
    file = tag_list(info, f"a\r\n{TAG}\r\nb c\r\n")
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    assert file.read_bytes() == b"a\r\nb c\r\n"
    os.link(file, tmp_path / "link")
    assert word(votag(path, "add", info, CE, "ops", TAG)[1]) == "added"
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    assert file.read_text().split() == ["a", "b", "c"]


def test_a_list_that_somebody_changes_all_the_time_is_changed_too_and_nothing_is_lost(
    info: Path, tmp_path: Path
) -> None:
    path = kept_sh("dash")
    file = tag_list(info, f"a\n{TAG}\nb\n")
    # between any two of our steps somebody appends
    busy = f'echo "VO-ops-N$(wc -l <"{file}")" >>"{file}"; exec "$real" "$@"'
    for tool in ("cmp", "wc"):
        path = with_tool(path, tool, busy.replace("wc -l", "/usr/bin/wc -l"), tmp_path)
    assert word(votag(path, "remove", info, CE, "ops", TAG)[1]) == "removed"
    numbers = [t.removeprefix("VO-ops-N") for t in file.read_text().split()[2:]]
    assert len(numbers) >= 6
    assert TAG not in file.read_text().split()
    assert word(votag(path, "add", info, CE, "ops", TAG)[1]) == "added"
    assert file.read_text().split()[: len(numbers) + 2] == ["a", "b", *(f"VO-ops-N{n}" for n in numbers)]
