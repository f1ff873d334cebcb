"""Control files: what we read in one is what python-debian reads, or we refuse it."""

from __future__ import annotations

import pytest
from debian._deb822_repro import parse_deb822_file
from debian.deb822 import Deb822
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.thoroughness import examples

from pps.adapters.packages.control_fields import control_fields, index_stanza
from pps.adapters.packages.deb import stanza_fields
from pps.domain.base.errors import PackageError

HEAD = b"Package: tool\nVersion: 1.0-1\nArchitecture: all\n"
PIECES = [
    b"Package", b"package", b"Version", b"Architecture", b"Description", b"X-Odd", b":", b": ", b" ", b"\t", b"\n",
    b"\n ",
    b"\n\n", b"\r", b"\r\n", b"\x0b", b"\x0c", b"\x00", b"\x1c", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf",
    b"\xff", b"openssl", b"99", b"all", b"#", b"-", b"Filename", b"Essential: yes", b"a, b | c (>= 1)",
]  # fmt: skip
CONTROLS = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)


@example(b"Package:", b"")
@example(b"Package", b"Package:Package")  # another field, so this is a package of another name, for all readers
@settings(max_examples=examples(500))
@given(CONTROLS, CONTROLS)
def test_nobody_reads_another_package_in_what_we_let_through(before: bytes, after: bytes) -> None:
    for data in (before + HEAD + after, before + b"\n" + HEAD + after, HEAD + after):
        try:
            fields = control_fields("x.deb", data)
            stanza = index_stanza("x.deb", fields)
        except PackageError as error:
            assert error.subject == "x.deb"
            continue
        expected = (fields["package"], fields["version"], fields["architecture"])
        if not data.startswith(before + HEAD) or before.endswith(b"\n") or not before:
            assert expected == ("tool", "1.0-1", "all")
        for read in (Deb822(stanza), Deb822(data)):
            assert (read["Package"], read["Version"], read["Architecture"]) == expected
        (whole,) = Deb822.iter_paragraphs(stanza)
        assert set(whole) <= {"Package", "Version", "Architecture", "Description"}
        assert stanza_fields(stanza)["package"] == expected[0]


def test_the_fields_that_sites_need_come_through_as_they_are() -> None:
    lines = [
        "Package: tool", "Version: 1:1.0-1", "Architecture: amd64", "Source: tools (1.0)", "Multi-Arch: same",
        "Priority: optional", "Section: net", "Maintainer: A <a@localhost>", "Installed-Size: 12",
        "Pre-Depends: libc6 (>= 2.34)", "Depends: a | b:any (<< 2~), c (= 1:1.0-1)", "Provides: tool-api (= 3)",
        "Homepage: http://localhost/", "Description: a tool\n with lines\n .\n and more",
    ]  # fmt: skip
    text = "\n".join(lines)
    assert index_stanza("x", control_fields("x", f"{text}\nPython-Version: 3\n".encode())) == text


@pytest.mark.parametrize("value", ["a (>= 1", "a b", "${misc:Depends}", "a (=> 1)", "a [amd64]", "-a", "a (>= 1 2)"])
def test_a_relation_that_apt_cannot_read_is_named(value: str) -> None:
    with pytest.raises(PackageError, match="'Depends' of its control file, which apt cannot read"):
        index_stanza("x", control_fields("x", HEAD + f"Depends: {value}\n".encode()))


@pytest.mark.parametrize(
    ("more", "package", "strict_reader_refuses"),
    [
        (b"Package: openssl\n", "openssl", True),
        (b"Description: a\rPackage: openssl\n", "openssl", False),
        (b"Package openssl\n", "tool", True),
        (b"Description: a\x0bPackage: openssl\n", "tool", False),
        (b"Description: \x00\x1b[2J\n", "tool", False),
        (b"\nPackage: openssl\n", "tool", False),
    ],
)
def test_python_debian_takes_for_a_package_what_we_refuse(
    more: bytes, package: str, strict_reader_refuses: bool
) -> None:
    data = HEAD + more
    with pytest.raises(PackageError, match="in its control file"):
        control_fields("x", data)
    assert Deb822(data)["Package"] == package
    lines = [line + b"\n" for line in data.split(b"\n")[:-1]]
    try:
        parse_deb822_file(lines, accept_files_with_duplicated_fields=False, accept_files_with_error_tokens=False)
    except ValueError:
        assert strict_reader_refuses
    else:
        assert not strict_reader_refuses
