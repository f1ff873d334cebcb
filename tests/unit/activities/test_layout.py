"""Where files go in a relocatable client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.activities.layout import Alternative, alternatives, checked_for_libc, place
from pps.domain.errors import PackageError
from pps.domain.manifest import checked_tree_path


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("usr/bin/gfal-ls", "bin/gfal-ls"),
        ("bin/tool", "bin/tool"),
        ("usr/sbin/tool", "sbin/tool"),
        ("usr/lib/x86_64-linux-gnu/libgfal2.so.2", "lib/libgfal2.so.2"),
        ("lib/aarch64-linux-gnu/libz.so.1", "lib/libz.so.1"),
        ("usr/lib/arm-linux-gnueabihf/gfal2-plugins/x.so", "lib/gfal2-plugins/x.so"),
        ("usr/lib64/libx.so", "lib/libx.so"),
        ("usr/lib/python3/dist-packages/gfal2.so", "lib/python3/dist-packages/gfal2.so"),
        ("lib/libx.so", "lib/libx.so"),
        ("usr/libexec/x", "libexec/x"),
        ("usr/share/man/man1/x.1.gz", "share/man/man1/x.1.gz"),
        ("usr/share/doc/x/copyright", "share/doc/x/copyright"),
        ("usr/share/doc/x/changelog.gz", None),
        ("etc/gfal2.d/http.conf", "etc/gfal2.d/http.conf"),
        ("etc/init.d/myproxy-server", None),
        ("var/lib/x", None),
        ("usr/include/x.h", None),
        ("lib/systemd/system/x.service", None),
        ("usr/lib/systemd/system/x.service", None),
        ("usr", None),
        ("opt/x/y", "opt/x/y"),
    ],
)
def test_files_go_where_the_environment_finds_them(path: str, to: str | None) -> None:
    assert place(path) == to


def test_a_path_that_we_know_no_place_for_is_refused_not_lost() -> None:
    with pytest.raises(PackageError, match="no place"):
        place("nix/store/x")


@given(
    st.lists(
        st.sampled_from(["usr", "lib", "bin", "x86_64-linux-gnu", "share", "etc", "a", "lib64"]), min_size=1, max_size=5
    )
)
def test_a_place_is_a_path_inside_the_tree(parts: list[str]) -> None:
    try:
        to = place("/".join(parts))
    except PackageError:
        return
    if to is not None:
        assert checked_tree_path(to).partition("/")[0] in {"bin", "sbin", "lib", "libexec", "share", "etc", "opt"}


@pytest.mark.parametrize("name", ["libc.so.6", "ld-linux-x86-64.so.2", "libm.so.6", "libpthread.so.0", "libc-2.36.so"])
def test_the_c_library_is_never_bundled(name: str) -> None:
    with pytest.raises(PackageError, match="C library"):
        checked_for_libc(f"lib/{name}")
    assert checked_for_libc("lib/libcom_err.so.2")
    assert checked_for_libc("lib/libnss3.so")


SCRIPT = r"""#!/bin/sh
set -e
if [ "$1" = configure ]; then
    update-alternatives --install /usr/bin/voms-proxy-info \
        voms-proxy-info /usr/bin/voms-proxy-info2 50 \
        --slave /usr/share/man/man1/voms-proxy-info.1.gz voms-proxy-info-man \
        /usr/share/man/man1/voms-proxy-info2.1.gz
    /usr/sbin/update-alternatives --quiet --install "/usr/bin/x" x '/usr/bin/x2' -10 || true
fi
"""


def test_alternatives_are_read_from_install_scripts() -> None:
    assert list(alternatives(SCRIPT)) == [
        Alternative("usr/bin/voms-proxy-info", "usr/bin/voms-proxy-info2", 50),
        Alternative("usr/share/man/man1/voms-proxy-info.1.gz", "usr/share/man/man1/voms-proxy-info2.1.gz", 50),
        Alternative("usr/bin/x", "usr/bin/x2", -10),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "update-alternatives --remove x /usr/bin/x",
        'update-alternatives --install "$link" x /usr/bin/x 50',
        "update-alternatives --install /usr/bin/x x `which y` 50",
        "update-alternatives --install ../../etc/passwd x /usr/bin/x 50",
        "update-alternatives --install /usr/../etc/passwd x /usr/bin/x 50",
        "update-alternatives --install /usr/bin/x x /usr/bin/y $(id)",
        "echo 'unbalanced update-alternatives --install",
        "update-alternatives --install",
    ],
)
def test_what_is_not_literal_is_passed_over(line: str) -> None:
    assert list(alternatives(line)) == []


@given(st.text())
def test_no_script_makes_reading_fail(text: str) -> None:
    list(alternatives("update-alternatives --install " + text))
