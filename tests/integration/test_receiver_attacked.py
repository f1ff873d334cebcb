"""The receiver among strangers: folders that others may write to, payloads that lie, odd accounts, and kill."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.integration.test_receiver import NEXT, AtSite, one_site, payload, site, store  # noqa: F401
from tests.support.local_shell import kept_sh
from tests.support.previews import SMALL, FolderArtefacts

from pps.activities.clients.probing import PROBES
from pps.activities.ports.packages import Tarball
from pps.activities.sites.diagnosis import site_check_script
from pps.activities.sites.script import load_script

pytestmark = pytest.mark.needs("shells")

# --- folders that others may write to ----------------------------------------------------------------------

#: how the folder gets into the hands of others -> what is said
SHARED: dict[str, tuple[Callable[[Path], object], str]] = {
    "sticky": (lambda root: root.chmod(0o1777), "everybody may write to {root} (drwxrwxrwt): chmod o-w {root}"),
    "group": (
        lambda root: (os.chown(root, 0, 1), root.chmod(0o775)),
        "the group daemon (1) may write to {root}, not only our account",
    ),
    "owner": (
        lambda root: os.chown(root, 1, 1),
        "{root} belongs to the account with number 1: give it to root (chown)",
    ),
    "list": (
        lambda root: subprocess.run(["setfacl", "-m", "u:daemon:rwx", str(root)], check=True),
        "an access list lets user:1 write to {root}",
    ),
    "above": (lambda root: root.parent.chmod(0o777), "everybody may write to {root.parent} (drwxrwxrwx)"),
    "link": (
        lambda root: (
            root.rmdir(),
            (root.parent / "free").mkdir(),
            (root.parent / "free").chmod(0o777),
            (root.parent / "free/in").mkdir(),
            root.symlink_to("free/in"),
        ),
        "everybody may write to {root.parent}/free (drwxrwxrwx)",
    ),
}


@pytest.mark.needs("root")
@pytest.mark.parametrize("how", SHARED)
def test_a_folder_that_others_may_write_to_is_refused_by_install_and_doctor_with_what_to_do(
    site: AtSite,
    store: FolderArtefacts,
    how: str,
) -> None:
    tarball = store.make(SMALL, "1.0")
    site.root.mkdir()
    share, said = SHARED[how]
    share(site.root)

    answer = site.install(tarball, payload(store, tarball))[-1]
    roots = [str(site.root), *(str(site.folder / name) for name in ("production", "profile.d", "tags"))]
    found = subprocess.run(
        ["sh", "-c", site_check_script(), "sh", *roots, "ce.example.org", "ops"],
        capture_output=True,
        text=True,
        check=True,
        env=site.environment,
    ).stdout

    assert answer.startswith(f"PPS-REFUSE unsafe {said.format(root=site.root)}")
    assert f"preview_root_unsafe {said.format(root=site.root)}" in found
    assert list(site.root.iterdir()) == []


@pytest.mark.needs("root")
@pytest.mark.parametrize("trap", ["folder", "link", "file"])
def test_a_pps_folder_that_somebody_else_made_is_refused_and_nothing_goes_through_it(
    site: AtSite,
    store: FolderArtefacts,
    trap: str,
) -> None:
    tarball = store.make(SMALL, "1.0")
    site.root.mkdir()
    pps, elsewhere = site.root / ".pps", site.folder / "elsewhere"
    elsewhere.mkdir()
    {"folder": pps.mkdir, "link": lambda: pps.symlink_to(elsewhere), "file": lambda: pps.write_text("x")}[trap]()
    os.chown(pps, 1, 1, follow_symlinks=False)

    assert site.install(tarball, payload(store, tarball))[-1].startswith("PPS-REFUSE unsafe")
    said = site.run("remove", tarball.name, str(site.root)).stdout.decode().splitlines()[-1]
    assert said.startswith("PPS-REFUSE unsafe") or (trap != "folder" and said == "PPS-REMOVED absent")
    assert list(elsewhere.iterdir()) == []


def test_marks_that_are_links_or_pipes_neither_hang_nor_tell_the_centre_a_line(
    site: AtSite,
    store: FolderArtefacts,
) -> None:
    tarball = store.make(SMALL, "1.0")
    private = site.folder / "private"
    private.write_text("0123456789abcdef\n")
    for name in ("aaa", "bbb", tarball.name):
        (site.root / name).mkdir(parents=True)
    (site.root / "aaa/.pps-ok").symlink_to(private)
    os.mkfifo(site.root / "bbb/.pps-ok")
    os.mkfifo(site.root / tarball.name / ".pps-ok")
    (site.root / "ccc").symlink_to(site.folder)

    said = site.install(tarball, payload(store, tarball))

    assert not [line for line in said if line.startswith("PPS-HAS")]
    assert said[-1] == f"PPS-INSTALLED {tarball.name}"
    (site.root / tarball.name / "MANIFEST").unlink()
    os.mkfifo(site.root / tarball.name / "MANIFEST")
    assert site.look(tarball) == "PPS-LOOK damaged MANIFEST is missing"


# --- folders that are fine ----------------------------------------------------------------------------------


def test_a_link_that_goes_up_inside_the_tree_is_a_good_one(site: AtSite, store: FolderArtefacts) -> None:
    links = {"lib/deep/down/tool": "../../../bin/tool", "share/lib": "../lib", "libtool": "lib/deep/../libtool.so"}
    old, new = store.make({**SMALL, **links}, "1.0"), store.make({**NEXT, **links}, "1.1")
    assert site.install(old, payload(store, old))[-1] == f"PPS-INSTALLED {old.name}"
    assert site.install(new, payload(store, new, old), old.name)[-1] == f"PPS-INSTALLED {new.name}"
    assert site.look(old) == site.look(new) == "PPS-LOOK intact"


@pytest.mark.parametrize("how", ["setgid", "default access list"])
def test_a_folder_with_setgid_or_a_default_access_list_is_a_good_one(
    site: AtSite,
    store: FolderArtefacts,
    how: str,
) -> None:
    old, new = store.make(SMALL, "1.0"), store.make(NEXT, "1.1")
    site.root.mkdir()
    if how == "setgid":
        site.root.chmod(0o2775)
    else:
        subprocess.run(["setfacl", "-d", "-m", "u:daemon:rwx,g::rwx", str(site.root)], check=True)

    assert site.install(old, payload(store, old))[-1] == f"PPS-INSTALLED {old.name}"
    assert site.install(new, payload(store, new, old), old.name)[-1] == f"PPS-INSTALLED {new.name}"

    assert site.look(old) == site.look(new) == "PPS-LOOK intact"
    writable = [p for p in site.root.rglob("*") if not p.is_symlink() and p.lstat().st_mode & 0o022]
    assert writable == []


ODD = {
    "QUOTING_STYLE": "shell-always", "LS_COLORS": "*=01;31", "POSIXLY_CORRECT": "1", "GREP_OPTIONS": "-v",
    "TAR_OPTIONS": "--exclude=*tool*", "GZIP": "-9 --nonsense", "CDPATH": "/", "BASH_ENV": "/etc/passwd", "IFS": "/p",
    "ENV": "/etc/passwd", "LANG": "et_EE.UTF-8", "LC_ALL": "de_DE.UTF-8", "TMPDIR": "/nowhere", "TZ": "Nowhere/X",
    "TIME_STYLE": "+%%", "BLOCK_SIZE": "1", "LD_PRELOAD": "/nowhere.so", "SHELLOPTS": "noglob:nounset:xtrace",
    "BASH_FUNC_ls%%": "() { echo evil; }", "BASH_FUNC_printf%%": "() { :; }", "AWKPATH": "/", "LS_OPTIONS": "-F",
    "XZ_OPT": "--nonsense", "GREP_COLOR": "1;31", "GREP_COLORS": "x", "MANPATH": "/",
}  # fmt: skip


@pytest.mark.parametrize("flavour", ["dash", "bash", "busybox"])
def test_the_accounts_environment_has_no_effect(
    store: FolderArtefacts,
    tmp_path: Path,
    flavour: str,
) -> None:
    tarball = store.make(SMALL, "1.0")
    path = kept_sh(flavour)
    site = AtSite(tmp_path / "site", path, variables=ODD)
    (site.folder / "production/bin").mkdir(parents=True)

    assert site.install(tarball, payload(store, tarball))[-1] == f"PPS-INSTALLED {tarball.name}"
    assert site.look(tarball) == "PPS-LOOK intact"
    info = tmp_path / "info"
    info.mkdir()
    for script, arguments, end in (
        ("votag.sh", ["add", str(info), "ce.example.org", "ops", "VO-ops-x"], "PPS-VOTAG-END added"),
        (
            "site_check.sh",
            [str(site.root), *[str(site.folder / "production")] * 2, str(info), "ce.example.org", "ops"],
            "end 1",
        ),
        (
            "probes.sh",
            [str(site.root / tarball.name), tarball.digest, "/x", "/x", "-", "9"],
            f"PPS-PROBES-END {len(PROBES)}",
        ),
    ):
        done = subprocess.run(
            ["/bin/sh", "-c", load_script(script), "sh", *arguments],
            capture_output=True,
            text=True,
            env=site.environment,
        )
        assert done.stdout.splitlines()[-1].startswith(end), done
        assert "PPS-PROBE tree" not in done.stdout or "PPS-PROBE tree OK" in done.stdout


def test_a_wrapper_in_the_accounts_path_is_not_taken_for_a_tool(
    one_site: AtSite,
    store: FolderArtefacts,
    tmp_path: Path,
) -> None:
    tarball = store.make(SMALL, "1.0")
    wrappers = tmp_path / "wrappers"
    wrappers.mkdir()
    for name in ("ls", "tar", "awk", "find", "sha256sum", "sh", "env"):
        (wrappers / name).write_text("#!/bin/sh\necho wrapped\n")
        (wrappers / name).chmod(0o755)
    shadowed = AtSite(one_site.folder, f"{wrappers}:{os.environ['PATH']}")

    assert shadowed.install(tarball, payload(store, tarball))[-1] == f"PPS-INSTALLED {tarball.name}"


def test_a_reason_arrives_whole_where_tr_knows_no_classes(site: AtSite, store: FolderArtefacts) -> None:
    for name in ("receiver.sh", "votag.sh", "probes.sh", "site_check.sh"):
        assert "tr -c '[:" not in load_script(name) and "tr '[:" not in load_script(name)
    assert site.run("look", "../x", "0", "/x").stdout == b"PPS-REFUSE usage not a name: ../x\n"


# --- disks --------------------------------------------------------------------------------------------------

DISKS = [*(f"nr_inodes={n}" for n in range(2, 15)), *(f"size={n}k" for n in range(4, 44, 4)), "noexec", "ro"]


@pytest.mark.needs("root")
@pytest.mark.parametrize("flavour", ["dash", "bash", "busybox"])
def test_a_disk_that_takes_no_more_is_called_that_wherever_it_happens(
    store: FolderArtefacts, tmp_path: Path, flavour: str
) -> None:
    tarball = store.make(SMALL, "1.0")
    tools = kept_sh(flavour)
    wanted = {"noexec": "unsafe no program can be run in", "ro": "io .*Read-only file system"}
    installed = 0
    for disk in DISKS:
        site = AtSite(tmp_path / disk, tools)
        (site.folder / "production/bin").mkdir(parents=True)
        site.root.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,{disk}", "tmpfs", str(site.root)], check=True)
        try:
            said, look = site.install(tarball, payload(store, tarball))[-1], site.look(tarball)
        finally:
            subprocess.run(["umount", "-l", str(site.root)], check=True)
        if said == f"PPS-INSTALLED {tarball.name}":
            installed += 1
            assert look == "PPS-LOOK intact" and disk not in wanted
        else:
            reason = wanted.get(disk, "disk quota or disk full: .*No space left")
            assert re.match(f"PPS-REFUSE {reason}", said), (disk, said)
            assert "records" not in said and look == "PPS-LOOK absent"
    assert 0 < installed < 5


# --- payloads that lie --------------------------------------------------------------------------------------


def lying(
    path: Path, tarball: Tarball, store: FolderArtefacts, *extra: tuple[tarfile.TarInfo, bytes], without: str = ""
) -> Path:
    """A payload with the right MANIFEST and members that it does not have, maybe instead of one that it has."""
    packed = io.BytesIO(payload(store, tarball).read_bytes().partition(b"\n")[2])
    out = io.BytesIO()
    with tarfile.open(fileobj=packed) as source, tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as new:
        for number, member in enumerate(source):
            if member.name != without:
                new.addfile(member, source.extractfile(member) if member.isreg() else None)
            if number == 0:
                listed = member.size
                for info, content in extra:
                    new.addfile(info, io.BytesIO(content))
    data = gzip.compress(out.getvalue())
    path.write_bytes(b"PPS-PAYLOAD 2 %d %d\n" % (len(data), listed) + data)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "", size: int = 0) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, to, size, 0o644
    return info, bytes(size)


LIES = {
    "mark as a hard link": [member(".pps-new/.pps-ok", tarfile.LNKTYPE, "../../{other}/.pps-ok")],
    "mark as a file": [member(".pps-new/.pps-ok")],
    "mark as a link": [member(".pps-new/.pps-ok", tarfile.SYMTYPE, "../../../{other}/.pps-ok")],
    "inner hard link": [member(".pps-new/bin/tool", tarfile.LNKTYPE, ".pps-new/MANIFEST")],
    "pipe": [member(".pps-new/share/pipe", tarfile.FIFOTYPE)],
    "device": [member(".pps-new/share/device", tarfile.CHRTYPE)],
    "out of its folder": [member(".pps-new/../../../evil", size=1)],
    "absolute": [member("{folder}/evil", size=1)],
    "through a link": [member(".pps-new/out", tarfile.SYMTYPE, "{folder}"), member(".pps-new/out/evil", size=1)],
    "folder as a link": [member(".pps-new/lib", tarfile.SYMTYPE, "{folder}")],
    "large": [member(".pps-new/share/large", size=20_000_000)],
    "many": [member(f".pps-new/share/{n}") for n in range(3000)],
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_not_in_manifest_is_refused_before_it_can_do_harm(
    site: AtSite,
    store: FolderArtefacts,
    tmp_path: Path,
    lie: str,
) -> None:
    old, new = store.make(SMALL, "1.0"), store.make(NEXT, "1.1")
    site.install(old, payload(store, old))
    extra = []
    for info, content in LIES[lie]:
        copy = tarfile.TarInfo(info.name.format(folder=site.folder))
        copy.type, copy.size, copy.mode = info.type, info.size, info.mode
        copy.linkname = info.linkname.format(other=old.name, folder=site.folder)
        extra.append((copy, content))

    said = site.install(
        new, lying(tmp_path / "lie", new, store, *extra), "", prefix="/usr/bin/prlimit --fsize=10000000"
    )[-1]

    assert said.startswith(("PPS-REFUSE damaged", "PPS-REFUSE unpack")), said
    assert (site.root / old.name / ".pps-ok").read_text() == f"{old.digest}\n"
    assert site.look(old) == "PPS-LOOK intact" and site.look(new) == "PPS-LOOK absent"
    assert site.left_behind() == [] and not list(site.folder.rglob("evil"))


#: what stands in the place of a file that was announced, so their number is right -> what is said
INSTEAD = {
    "a hard link": (tarfile.LNKTYPE, "../../{other}/.pps-ok", 0, "damaged what arrived is not what was sent: it has "),
    "a pipe": (tarfile.FIFOTYPE, "", 0, "damaged what arrived is not what was sent: it has more than files and symb"),
    "a device": (tarfile.CHRTYPE, "", 0, "damaged what arrived is not what was sent: it has more than files and symb"),
    "a large file": (tarfile.REGTYPE, "", 150 << 20, "unpack"),
}


@pytest.mark.parametrize("what", INSTEAD)
def test_what_comes_instead_of_a_file_is_refused_and_no_more_is_written_than_was_announced(
    site: AtSite,
    store: FolderArtefacts,
    tmp_path: Path,
    what: str,
) -> None:
    old, new = store.make(SMALL, "1.0"), store.make(NEXT, "1.1")
    site.install(old, payload(store, old))
    kind, to, size, said = INSTEAD[what]
    extra = member(".pps-new/bin/tool", kind, to.format(other=old.name), size)
    lie = lying(tmp_path / "lie", new, store, extra, without=".pps-new/bin/tool")
    assert lie.stat().st_size < 160_000

    # a file that grows beyond a megabyte ends who writes it
    answer = site.install(new, lie, "", prefix="/usr/bin/prlimit --fsize=1000000")[-1]

    assert answer.startswith(f"PPS-REFUSE {said}"), answer
    assert site.look(old) == "PPS-LOOK intact" and site.look(new) == "PPS-LOOK absent"
    assert site.left_behind() == []


def test_not_a_byte_more_than_announced_is_taken(site: AtSite, store: FolderArtefacts) -> None:
    tarball = store.make(SMALL, "1.0")
    data = payload(store, tarball).read_bytes()

    heads = (
        b"PPS-PAYLOAD 2 9999999999999 1",
        b"PPS-PAYLOAD 2 x 1",
        b"PPS-PAYLOAD 1 5 5",
        b"PPS-PAYLOAD 2 5 5 5",
        b"$(id)",
    )
    for head in heads:
        done = site.run(*site.arguments(tarball), stdin=b"full\n" + head + b"\n" + data)
        assert done.stdout.splitlines()[-1].startswith(b"PPS-REFUSE input the payload"), done.stdout
    assert site.look(tarball) == "PPS-LOOK absent" and site.left_behind() == []


# --- kill ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_receiver_that_is_killed_takes_its_child_along_and_leaves_no_stage(
    one_site: AtSite,
    store: FolderArtefacts,
    how: signal.Signals,
) -> None:
    chance = random.Random(int(how))
    tree = {**SMALL, **{f"share/{n}": os.urandom(3000) for n in range(300)}}
    tarball = store.make(tree, "1.0")
    data = b"full\n" + payload(store, tarball).read_bytes()
    killed = 0
    for _ in range(12):
        process = subprocess.Popen(
            one_site.command(*one_site.arguments(tarball)), env=one_site.environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(data[: len(data) - chance.choice([0, 1])])
            process.stdin.flush()
        wait_for(lambda p=process: any((one_site.root / ".pps").glob("stage.*")) or p.poll() is not None)
        time.sleep(chance.uniform(0, 0.15))  # any point of what it does
        process.send_signal(how)
        killed += process.wait(20) != 0
        # standard input stays open: nothing but the watching can end what is left of it
        wait_for(lambda pid=process.pid: session_of(pid) == [])
        assert one_site.left_behind() == []
        process.stdin.close()
        one_site.run("remove", tarball.name, str(one_site.root))
    assert killed > 2


def test_a_look_sweeps_what_a_machine_that_went_down_has_left(site: AtSite, store: FolderArtefacts) -> None:
    tarball = store.make(SMALL, "1.0")
    site.install(tarball, payload(store, tarball))
    (site.root / ".pps/stage.7/half").mkdir(parents=True)
    # the number of a process that lives, but began at another time
    (site.root / ".pps/lock.7").symlink_to(f"{os.uname().nodename}/1:{os.getpid()}:{int(time.time()) + 600}")

    assert site.look(tarball) == "PPS-LOOK intact"
    assert site.left_behind() == []


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def session_of(pid: int) -> list[str]:
    """What still lives of a session, but for a nap of a second that ends by itself."""
    said = subprocess.run(["ps", "-A", "-o", "sid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in said.splitlines()]
    return [r[2] for r in rows if r[0] == str(pid) and not r[1].startswith("Z") and r[2] != "sleep 1"]
