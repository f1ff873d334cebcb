"""badinput.yaml, `archive`: what a package may bring, and what ends in a sentence."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from tests.support.archives import CONTROL, ar, cpio, deb, deb_of, member, rpm_edited, rpm_of, tar

from pps.activities.ports.packages import PackageMember, UnpackBudget
from pps.adapters.packages.archive import CappedStream
from pps.adapters.packages.confined import Confined, Limits
from pps.adapters.packages.package_files import PackageFiles
from pps.domain.base.errors import HostileArchiveError, PackageError

pytestmark = pytest.mark.slow

REG, LINK = stat.S_IFREG, stat.S_IFLNK


def read(path: Path, *, budget: UnpackBudget | None = None) -> list[tuple[PackageMember, bytes]]:
    with PackageFiles().open(path, budget or UnpackBudget(1 << 26, 10_000)) as package:
        return [(found, content.read() if found.kind == "f" else b"") for found, content in package.members()]


def paths(path: Path) -> list[str]:
    return [found.path for found, _ in read(path)]


def refused(path: Path, words: str, **options) -> None:
    with pytest.raises(HostileArchiveError, match=words) as caught:
        read(path, **options)
    assert caught.value.subject.startswith("hostile")
    assert caught.value.next_step


def test_a_plain_package_comes_through(tmp_path: Path) -> None:
    path = deb_of(
        tmp_path,
        member("./", tarfile.DIRTYPE),
        member("./usr/bin/", tarfile.DIRTYPE),
        member("./usr/bin/tool", data=b"#!/bin/sh\n", mode=0o755),
        member("./usr/bin/other", tarfile.SYMTYPE, target="tool"),
        member("./usr/bin/third", tarfile.LNKTYPE, target="./usr/bin/tool"),
        member("./usr/bin/absolute", tarfile.SYMTYPE, target="/usr/lib/../bin/tool"),
    )
    assert read(path) == [
        (PackageMember("usr/bin", "d"), b""),
        (PackageMember("usr/bin/tool", "f", 10, True), b"#!/bin/sh\n"),
        (PackageMember("usr/bin/other", "l", target="usr/bin/tool"), b""),
        (PackageMember("usr/bin/third", "h", target="usr/bin/tool"), b""),
        (PackageMember("usr/bin/absolute", "l", target="usr/bin/tool"), b""),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "a/../../x",
        "..",
        "./../x",
        "name\nwith newline",
        "tab\there",
        "esc\x1b[2J",
        "-rf",
        "usr/bin/--checkpoint-action=exec=sh",
        "x" * 256,
        "/".join(["d"] * 300),
        "not-utf8-\udcff",
        "a -> b",
    ],
)
def test_no_name_leaves_the_tree_or_reaches_a_shell_as_an_option(tmp_path: Path, name: str) -> None:
    refused(deb_of(tmp_path, member(name)), "member")
    refused(rpm_of(tmp_path, cpio((name, REG | 0o644, b""))), "member")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"])
def test_devices_fifos_and_unknown_kinds_are_refused(tmp_path: Path, kind: bytes) -> None:
    refused(deb_of(tmp_path, member("dev/thing", kind)), "is (a|of)")


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_fifos_and_sockets_are_refused_in_rpms_too(tmp_path: Path, kind: int) -> None:
    refused(rpm_of(tmp_path, cpio(("dev/thing", kind | 0o644, b""))), "device")


def test_links_that_lead_out_of_the_tree_are_refused(tmp_path: Path) -> None:
    refused(deb_of(tmp_path, member("usr/bin/x", tarfile.SYMTYPE, target="../../../etc/passwd")), "out of the tree")
    refused(rpm_of(tmp_path, cpio(("usr/x", LINK | 0o777, b"../../etc/passwd"))), "out of the tree")
    refused(deb_of(tmp_path, member("usr/bin/x", tarfile.SYMTYPE, target="a\nb")), "member")
    refused(deb_of(tmp_path, member("usr/bin/x", tarfile.SYMTYPE, target="")), "leads nowhere")


def test_an_absolute_link_means_the_package_s_own_root(tmp_path: Path) -> None:
    ((found, _),) = read(deb_of(tmp_path, member("usr/x", tarfile.SYMTYPE, target="/etc/passwd")))
    assert found.target == "etc/passwd"


def test_hard_links_to_anything_but_an_earlier_file_of_the_package_are_refused(tmp_path: Path) -> None:
    for target in ("/etc/passwd", "etc/passwd", "../x"):
        refused(deb_of(tmp_path, member("usr/x", tarfile.LNKTYPE, target=target)), "hard link|member")
    refused(deb_of(tmp_path, member("usr/x", tarfile.LNKTYPE, target="usr/x")), "hard link")


def test_nothing_is_written_through_a_link_of_the_package(tmp_path: Path) -> None:
    link = member("usr/lib", tarfile.SYMTYPE, target="/etc")
    refused(deb_of(tmp_path, link, member("usr/lib/passwd")), "no directory")
    refused(deb_of(tmp_path, member("usr/lib/x"), link), "not empty")
    refused(deb_of(tmp_path, member("a"), member("a/b")), "no directory")
    circle = [member("a", tarfile.SYMTYPE, target="b"), member("b", tarfile.SYMTYPE, target="a")]
    refused(deb_of(tmp_path, *circle, member("a/x")), "circle")
    for twice in ((("a", REG, b"x"), ("a", REG, b"y")), (("l", LINK, b"a"), ("l/x", REG, b""))):
        refused(rpm_of(tmp_path, cpio(*twice)), "twice|no directory")
    # CVE-2025-4517: deep chains that overflow realpath; here no path is ever resolved by the system
    deep = "d" * 200
    chain = [member("/".join([deep] * n), tarfile.DIRTYPE) for n in range(1, 5)]
    refused(
        deb_of(tmp_path, *chain, member("l", tarfile.SYMTYPE, target="/".join([deep] * 6)), member("l/x")), "member"
    )


def test_names_that_look_alike_are_refused_and_cases_are_not(tmp_path: Path) -> None:
    refused(deb_of(tmp_path, member("caf\u00e9"), member("cafe\u0301")), "spelling")
    assert paths(deb_of(tmp_path, member("A"), member("a"))) == ["A", "a"]


def test_modes_times_and_owners_of_the_package_do_not_count(tmp_path: Path) -> None:
    odd, _ = member("odd", mode=0o7777)
    odd.mtime, odd.uid, odd.gid, odd.uname = 2**33, 4711, 4712, "nobody"
    bare = member("bare", mode=0)
    found = [m for m, _ in read(deb_of(tmp_path, (odd, b""), bare))]
    assert found == [PackageMember("odd", "f", 0, True), PackageMember("bare", "f", 0, False)]


def test_a_pax_header_cannot_lead_around_the_gate(tmp_path: Path) -> None:
    info, data = member("innocent")
    info.pax_headers = {"path": "../../etc/passwd"}
    refused(deb_of(tmp_path, (info, data), format=tarfile.PAX_FORMAT), "member")
    plain = member("innocent")
    refused(deb_of(tmp_path, plain, format=tarfile.PAX_FORMAT, pax_headers={"path": "../x"}), "global header")


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    info, _ = member("sparse")
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "x",
        "GNU.sparse.realsize": str(2**63),
    }
    refused(deb_of(tmp_path, (info, b"0\n" + bytes(510)), format=tarfile.PAX_FORMAT), "sparse|sound")
    header = bytearray(tar(member("x", tarfile.GNUTYPE_SPARSE))[:1024])
    header[386:483] = b"0000000000\x0000000000000\x00".ljust(97, b"\0")
    header[483:495] = b"\x80" + (2**63 - 1).to_bytes(11, "big")  # real size
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header[:512])
    refused(_data(tmp_path, gzip.compress(bytes(header) + bytes(10240))), "sparse|sound")


def _data(folder: Path, data: bytes, compression: str = "gz") -> Path:
    path = folder / "hostile.deb"
    path.write_bytes(deb(data, compression=compression))
    return path


@pytest.mark.parametrize("field", [b"\xff" * 12, b"\x80" + b"\x7f" * 11, b"-0000000001\0"])
def test_sizes_that_are_negative_or_beyond_all_disks_are_refused(tmp_path: Path, field: bytes) -> None:
    header = bytearray(tar(member("x"))[:512])
    header[124:136] = field
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    refused(_data(tmp_path, gzip.compress(bytes(header) + bytes(10240))), "size|sound|ends|middle")


def test_extended_headers_are_not_kept_in_memory_whatever_their_size(tmp_path: Path) -> None:
    # a "long name" of 60 MB, well within the budget
    huge, _ = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    huge.size = 60 << 20
    path = _data(tmp_path, gzip.compress(huge.tobuf(tarfile.GNU_FORMAT) + bytes(60 << 20)))
    tracemalloc.start()
    try:
        refused(path, "header", budget=UnpackBudget(1 << 30, 10))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def extended(kind: bytes, data: bytes) -> bytes:
    """An extended header of tar with this content."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = kind, len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"1" * 60_000, "extended header is broken"),  # CVE-2024-6232: minutes in Python 3.11.7
        (b" " * 60_000, "extended header is broken"),
        (b"1" * (1 << 20), "header of more than 65536 bytes"),
        (b"30 path=../../etc/passwd-and\n", "extended header is broken"),
        (b"0 path=x\n", "extended header is broken"),
        (b"11 path=x\n", "extended header is broken"),
        (b"9 path=a\n9 path=b\n", "path twice"),
        (b"11 size=-1\n", "no size"),
        (b"23 GNU.sparse.size=100\n", "sparse"),
        (b"24 path=usr/bin/../../x\n", "member"),
    ],
    ids=range(10),
)
def test_extended_headers_are_bounded_and_cost_no_time(tmp_path: Path, data: bytes, words: str) -> None:
    reader = PackageFiles(Confined(Limits(cpu_s=2)))
    archive = extended(b"x", data) + tar(member("x", data=b"1"))
    for path in (_data(tmp_path, gzip.compress(archive)), tmp_path / "hostile-control.deb"):
        if not path.exists():
            files = {"debian-binary": b"2.0\n", "control.tar.gz": gzip.compress(archive)}
            path.write_bytes(ar({**files, "data.tar.gz": gzip.compress(tar())}))
        with (
            pytest.raises(HostileArchiveError, match=words),
            reader.open(path, UnpackBudget(1 << 26, 100)) as package,
        ):
            list(package.members())


def test_long_names_are_read_in_every_format_and_bounded(tmp_path: Path) -> None:
    name = "usr/share/" + "/".join(["a-folder-with-a-long-name"] * 12)
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        long = member(name, data=b"1"), member(f"{name}.link", tarfile.SYMTYPE, target=f"/{name}")
        assert paths(deb_of(tmp_path, *long, format=form)) == [name, f"{name}.link"]
    assert paths(deb_of(tmp_path, member("usr/" + "b" * 90 + "/" + "c" * 90), format=tarfile.USTAR_FORMAT))
    refused(_data(tmp_path, gzip.compress(extended(b"L", b"x" * 70_000) + tar(member("x")))), "header of more than")
    refused(_data(tmp_path, gzip.compress(extended(b"L", b"x") * 200_000 + tar(member("x")))), "more than|bomb|member")
    refused(_data(tmp_path, gzip.compress(extended(b"L", b"x") + bytes(1024))), "long name without its member")


def test_the_outer_archive_has_its_parts_once_and_in_order(tmp_path: Path) -> None:
    control, data = gzip.compress(tar(member("control", data=CONTROL.encode()))), gzip.compress(tar(member("x")))
    version, path = b"2.0\n", tmp_path / "hostile.deb"
    odd = [
        {"debian-binary": version, "data.tar.gz": data, "control.tar.gz": control},
        {"control.tar.gz": control, "debian-binary": version, "data.tar.gz": data},
        {"debian-binary": version, "control.tar.gz": control, "control.tar.xz": control, "data.tar.gz": data},
        {"debian-binary": version, "control.tar.gz": control, "data.tar.gz": data, "data.tar.xz": data},
        {"debian-binary": version, "control.tar.gz": control, "data.tar.gz": data, "more": b""},
        {"debian-binary": b"3.0\n", "control.tar.gz": control, "data.tar.gz": data},
    ]
    for parts in odd:
        path.write_bytes(ar(parts))
        with pytest.raises(PackageError, match=r"hostile\.deb: is (not )?a Debian package"):
            read(path)
    signed = {
        "debian-binary": version,
        "_extra": b"",
        "control.tar.gz": control,
        "data.tar.gz": data,
        "_gpgorigin": b"x",
    }
    path.write_bytes(ar(signed))
    assert paths(path) == ["x"]
    twice = gzip.compress(
        tar(member("control", data=CONTROL.encode()), member("./control", data=b"Package: openssl\n"))
    )
    path.write_bytes(ar({"debian-binary": version, "control.tar.gz": twice, "data.tar.gz": data}))
    with pytest.raises(PackageError, match="stands twice"):
        read(path)


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    whole = tar(member("a", data=b"x" * 5000), member("b", data=b"y"))
    zipped = gzip.compress(whole)
    refused(_data(tmp_path, zipped[:-9]), "decompressed")
    refused(_data(tmp_path, gzip.compress(whole[:1024])), "middle")
    refused(_data(tmp_path, gzip.compress(whole[: 512 + 5120])), "without the mark")
    refused(_data(tmp_path, lzma.compress(whole)[:-20], "xz"), "decompressed")
    refused(_data(tmp_path, zstandard.compress(whole)[:-20], "zst"), "without the mark|middle|decompressed|empty")
    refused(rpm_of(tmp_path, cpio(("a", REG | 0o644, b"x"), trailer=False)), "sound")
    refused(rpm_of(tmp_path, cpio(("a", REG | 0o644, b"x" * 500))[:200]), "middle")


def test_nothing_may_follow_the_archive(tmp_path: Path) -> None:
    whole = tar(member("a"))
    other = tar(member("b"))
    refused(_data(tmp_path, gzip.compress(whole + other)), "goes on")
    refused(_data(tmp_path, gzip.compress(whole) + gzip.compress(other)), "goes on")  # two gzip members
    refused(_data(tmp_path, gzip.compress(whole) + b"garbage"), "decompressed")
    refused(_data(tmp_path, lzma.compress(whole) + b"garbage", "xz"), "decompressed")
    refused(_data(tmp_path, whole + b"garbage", ""), "goes on")
    refused(rpm_of(tmp_path, cpio(("a", REG | 0o644, b"x")) + cpio(("b", REG | 0o644, b"x"))), "goes on")


def test_a_broken_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    whole = tar(member("a"))[:512] + b"\xff" * 512 + bytes(10240)
    refused(_data(tmp_path, gzip.compress(whole)), "without the mark|sound")


@pytest.mark.parametrize("compression", ["gz", "xz", "zst", "bz2", ""])
def test_a_bomb_ends_at_the_budget_and_fills_no_memory(tmp_path: Path, compression: str) -> None:
    whole = tar(member("zeros", data=bytes(200 << 20)))
    packers = {
        "gz": gzip.compress,
        "xz": lzma.compress,
        "zst": zstandard.ZstdCompressor(level=3).compress,
        "bz2": bz2.compress,
        "": bytes,
    }
    path = _data(tmp_path, packers[compression](whole), compression)
    del whole
    budget = UnpackBudget(10 << 20, 100)
    tracemalloc.start()
    try:
        with PackageFiles().open(path, budget) as package, pytest.raises(HostileArchiveError, match="bomb"):
            for _, content in package.members():
                while content.read(1 << 16):
                    pass
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()
    assert budget.bytes_left > -(1 << 17), "no more is inflated than one block beyond the budget"


def test_skipped_content_counts_as_well(tmp_path: Path) -> None:
    path = _data(tmp_path, gzip.compress(tar(member("zeros", data=bytes(30 << 20)), member("b"))))
    with (
        PackageFiles().open(path, UnpackBudget(1 << 20, 100)) as package,
        pytest.raises(HostileArchiveError, match="bomb"),
    ):
        list(package.members())


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    path = deb_of(tmp_path, *(member(f"d/{n}") for n in range(2000)))
    refused(path, "more members", budget=UnpackBudget(1 << 30, 1000))


def test_several_packages_spend_from_one_budget(tmp_path: Path) -> None:
    budget = UnpackBudget(1 << 20, 3)
    path = deb_of(tmp_path, member("a"), member("b"))
    read(path, budget=budget)
    with pytest.raises(HostileArchiveError, match="more members"):
        read(path, budget=budget)


def test_hard_links_of_an_rpm_come_out_behind_the_file_that_carries_their_content(tmp_path: Path) -> None:
    names = [("usr/bin/a", REG | 0o755, b""), ("usr/bin/b", REG | 0o755, b"content")]
    files = {"usr/bin/a": (0o755, "content"), "usr/bin/b": (0o755, "content")}
    found = read(rpm_of(tmp_path, cpio(*names, links=2), files))
    assert found == [
        (PackageMember("usr/bin/b", "f", 7, True), b"content"),
        (PackageMember("usr/bin/a", "h", target="usr/bin/b"), b""),
    ]
    empty = rpm_of(tmp_path, cpio(*((n, m, b"") for n, m, _ in names), links=2), dict.fromkeys(files, (0o755, "")))
    assert [m.executable for m, _ in read(empty)] == [True, False]  # rights belong to the file, not to a name of it


RPM_FILES = {"usr/bin/x": (0o755, "x"), "usr/share/y": (0o644, "yy")}
X, Y = ("./usr/bin/x", REG | 0o755, b"x"), ("./usr/share/y", REG | 0o644, b"yy")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([X], "'/usr/share/y' in its header, which its payload does not have"),
        ([], "'/usr/bin/x' in its header, which its payload does not have"),
        ([X, Y, ("./usr/bin/evil", REG | 0o755, b"")], "'usr/bin/evil' in its payload, which its header does not have"),
        ([X, ("./usr/share/y", REG | 0o755, b"yy")], "describes in another way"),
        ([X, ("./usr/share/y", REG | 0o644, b"yyy")], "describes in another way"),
        ([X, ("./usr/share/y", 0o120777, b"x")], "describes in another way"),
        ([X, ("./usr/share/y", 0o040755, b"")], "describes in another way"),
    ],
)
def test_an_rpm_has_the_files_that_its_header_says_and_no_others(tmp_path: Path, members, words: str) -> None:
    """rpm goes by the header, other unpackers by the payload: rpm itself refuses nearly all of these."""
    assert len(read(rpm_of(tmp_path, cpio(Y, X), RPM_FILES))) == 2
    path = rpm_of(tmp_path, cpio(*members), RPM_FILES)
    with pytest.raises(PackageError, match=words):
        read(path)


@pytest.mark.parametrize(
    ("tag", "change", "words"),
    [
        (1037, {"kind": 3}, "FILEFLAGS of its header is not of the right type"),
        (1037, {"count": 1}, "does not fit together"),
        (1030, {"kind": 4}, "FILEMODES of its header is not of the right type"),
        (1030, {"count": 1}, "does not fit together"),
        (1028, {"kind": 5}, "FILESIZES of its header is not of the right type"),
        (1036, {"count": 1}, "does not fit together"),
        (1096, {"count": 1}, "does not fit together"),
        (1116, {"count": 1}, "files in its header without folders"),
        (63, {"to": 61}, "does not say which part of its header is signed"),
    ],
)
def test_a_header_that_rpm_refuses_is_refused(tmp_path: Path, tag: int, change: dict[str, int], words: str) -> None:
    path = rpm_edited(rpm_of(tmp_path, cpio(X, Y), RPM_FILES), tag, **change)
    with pytest.raises(PackageError, match=words):
        read(path)


def test_names_in_a_header_are_names(tmp_path: Path) -> None:
    path = rpm_of(tmp_path, cpio(X, Y), RPM_FILES)
    whole = path.read_bytes()
    for old, new in (
        (b"/usr/share/\0", b"/usr/shareX\0"),
        (b"/usr/share/\0", b"Xusr/share/\0"),
        (b"\1x\0y\0", b"\1x\0/\0"),
    ):
        assert whole.count(old) == 1
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(PackageError, match="name in its header"):
            read(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"!<arch>\n",
        b"!<arch>\n" + b"x" * 60,
        ar({"debian-binary": b"2.0\n"}),
        ar({"debian-binary": b"2.0\n", "control.tar.gz": gzip.compress(tar()), "data.tar.gz": gzip.compress(tar())}),
        deb(gzip.compress(tar()), control="Package: x\n"),
        deb(gzip.compress(tar()), control=CONTROL.replace("hostile", "$(id)")),
        deb(gzip.compress(tar()))[:-100],
        deb(b"", compression="rar"),
        ar({"debian-binary": b"2.0\n", "control.tar.gz": b"x", "data.tar.gz": b""}),
        b"\xed\xab\xee\xdb",
        b"\xed\xab\xee\xdb" + b"\x8e\xad\xe8\x01" * 100,
        b"\xed\xab\xee\xdb" + bytes(92) + b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack("!ii", 2**31 - 1, 2**31 - 1),
        b"PK\x03\x04 a zip",
    ],
    ids=range(14),
)
def test_what_is_no_package_is_told_in_words(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.deb"
    path.write_bytes(data)
    with pytest.raises(PackageError) as caught:
        read(path)
    assert "broken.deb" in str(caught.value) or "compression" in str(caught.value)


def test_compressions_of_debian_and_rpm_are_read(tmp_path: Path) -> None:
    whole = tar(member("usr/bin/x", data=b"hello"))
    for compression, data in {
        "gz": gzip.compress(whole),
        "xz": lzma.compress(whole),
        "zst": zstandard.compress(whole),
        "bz2": bz2.compress(whole),
        "lzma": lzma.compress(whole, format=lzma.FORMAT_ALONE),
        "": whole,
    }.items():
        ((found, content),) = read(_data(tmp_path, data, compression))
        assert (found.path, content) == ("usr/bin/x", b"hello")


def test_a_parser_can_never_go_back_in_the_stream() -> None:
    # some versions of tarfile follow a negative size backwards and read for ever (CVE-2025-8194)
    stream = CappedStream("hostile", io.BytesIO(bytes(2048)), UnpackBudget(1 << 20, 10))
    stream.read(1024)
    with pytest.raises(HostileArchiveError, match="negative"):
        stream.seek(512)


def test_the_content_of_a_cut_member_is_never_handed_out_as_if_it_were_whole(tmp_path: Path) -> None:
    path = _data(tmp_path, gzip.compress(tar(member("a", data=b"x" * 5000))[:1024]))
    with (
        PackageFiles().open(path, UnpackBudget(1 << 20, 10)) as package,
        pytest.raises(HostileArchiveError, match="middle"),
    ):
        next(package.members())
