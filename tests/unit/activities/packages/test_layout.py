"""Where files go in a relocatable client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.activities.packages.layout import (
    Alternative,
    checked_for_libc,
    is_read_elsewhere,
    place,
    read_alternatives,
)
from pps.domain.base.errors import PackageError
from pps.domain.packages.manifest import checked_tree_path


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
        ("usr/bin/py3compile", None),
        ("usr/bin/py3clean", None),
        ("bin/dpkg-deb", None),
        ("usr/bin/update-alternatives", None),
        ("usr/sbin/alternatives", None),
        ("sbin/ldconfig", None),
        ("usr/bin/python3", "bin/python3"),
        ("usr/bin/dpkgish", "bin/dpkgish"),
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
    assert list(read_alternatives(SCRIPT)[0]) == [
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
    assert list(read_alternatives(line)[0]) == []


@pytest.mark.parametrize(
    "call",
    [
        "alternatives --install /usr/bin/x x /usr/bin/y 50",
        "/usr/sbin/alternatives --install /usr/bin/x x /usr/bin/y 50 2>/dev/null || :",
        "/usr/sbin/update-alternatives --quiet --force --install /usr/bin/x x /usr/bin/y 50",
        "$(which alternatives) --install /usr/bin/x x /usr/bin/y 50",
        "`command -v update-alternatives` --install /usr/bin/x x /usr/bin/y 50",
        "${SBINDIR}/update-alternatives --install /usr/bin/x x /usr/bin/y 50",
        "$ALT --install /usr/bin/x x /usr/bin/y 50",
        "ALT=/usr/sbin/alternatives\n$ALT --install /usr/bin/x x /usr/bin/y 50",
        'bin=/usr/bin; update-alternatives --install "$bin/x" x "${bin}/y" 50',
        "P=50; alternatives --install /usr/bin/x x /usr/bin/y $P",
        "alternatives \\\n  --install \\\n '/usr/bin/x' \\\n \"x\" /usr/bin/y \\\n 50",
        "if [ $1 -ge 1 ]; then\n  alternatives --install /usr/bin/x x /usr/bin/y 50\nfi",
        "[ -x /usr/sbin/alternatives ] && /usr/sbin/alternatives --install /usr/bin/x x /usr/bin/y 50",
        "sh -c 'alternatives --install /usr/bin/x x /usr/bin/y 50'",
        "alternatives --install /usr/bin/x x /usr/bin/y 50 --initscript x --family y",
        "alternatives --install //usr/bin/x x /usr//bin/y 50",
    ],
)
def test_a_call_is_read_whatever_the_path_of_the_tool_and_the_layout_of_its_words(call: str) -> None:
    assert read_alternatives(call) == ((Alternative("usr/bin/x", "usr/bin/y", 50),), ())


def test_followers_and_loops_are_read() -> None:
    call = "alternatives --install /usr/bin/x x /usr/bin/y 5 --follower /usr/bin/z z /usr/bin/zz --slave /m m /mm\n"
    loop = 'for t in ls cp; do\n update-alternatives --install /usr/bin/gfal-$t gfal-$t "/usr/bin/gfal2-${t}" 5\ndone\n'
    assert [(a.link, a.target) for a in read_alternatives(call + loop)[0]] == [
        ("usr/bin/x", "usr/bin/y"),
        ("usr/bin/z", "usr/bin/zz"),
        ("m", "mm"),
        ("usr/bin/gfal-ls", "usr/bin/gfal2-ls"),
        ("usr/bin/gfal-cp", "usr/bin/gfal2-cp"),
    ]


@pytest.mark.parametrize(
    "call",
    [
        'update-alternatives --install "$link" x /usr/bin/x 50',
        "alternatives --install /usr/bin/x x `which y` 50",
        "alternatives --install /usr/bin/x x /usr/bin/y $(id -u)",
        "alternatives --install ../../etc/passwd x /usr/bin/x 50",
        "alternatives --install /usr/bin/x",
        "do_it alternatives --install /usr/bin/$x x /usr/bin/y 50",
        "chroot / 'alternatives --install /usr/bin/x x /usr/bin/y 50'",
    ],
)
def test_a_call_that_cannot_be_told_is_named(call: str) -> None:
    found, unclear = read_alternatives(call)
    assert found == ()
    assert len(unclear) == 1
    assert "alternatives --install" in unclear[0]


@pytest.mark.parametrize(
    "script",
    [
        "update-alternatives --remove x /usr/bin/x",
        "# alternatives --install /usr/bin/x x /usr/bin/y 50",
        "echo alternatives --install /usr/bin/x x /usr/bin/y 50",
        "cat <<END\nalternatives --install /usr/bin/x x /usr/bin/y 50\nEND",
        "$TOOL --install something",
        "install-info --install",
    ],
)
def test_what_is_no_call_is_neither_read_nor_named(script: str) -> None:
    assert read_alternatives(script) == ((), ())


def links(script: str) -> list[tuple[str, str]]:
    return [(found.link, found.target) for found in read_alternatives(script)[0]]


@pytest.mark.parametrize(
    "again",
    ["T=/usr/bin/b", "export T=/usr/bin/b", "readonly T=/usr/bin/b", 'if [ -x /a ]; then echo; fi\nT="/usr/bin/b"'],
)
def test_a_variable_that_is_set_again_has_its_new_value_from_there_on(again: str) -> None:
    script = "T=/usr/bin/a\nupdate-alternatives --install /usr/bin/x x $T 5 || true\n{}\n"
    script += "update-alternatives --install /usr/bin/y y $T 5"
    script = script.format(again)
    assert links(script) == [("usr/bin/x", "usr/bin/a"), ("usr/bin/y", "usr/bin/b")]
    assert read_alternatives(script)[1] == ()


def test_a_variable_keeps_what_another_one_held_when_it_was_set() -> None:
    assert links("A=/usr/bin/a\nB=$A\nA=/usr/bin/b\nalternatives --install /usr/bin/x x $B 5") == [
        ("usr/bin/x", "usr/bin/a")
    ]
    # as the shell: what stands before a command does not count for its words, nor for what follows
    assert links("T=/usr/bin/a\nT=/usr/bin/b alternatives --install /usr/bin/x x $T 5") == [("usr/bin/x", "usr/bin/a")]


@pytest.mark.parametrize(
    "perhaps",
    [
        "if [ -x /usr/bin/b ]; then T=/usr/bin/b; fi",
        "[ -x /usr/bin/b ] && T=/usr/bin/b",
        "[ -x /usr/bin/a ] ||\n  T=/usr/bin/b",
        'case "$1" in (configure) T=/usr/bin/b;; esac',
        'case "$1" in configure) T=/usr/bin/b;; esac',
        "f() {\n T=/usr/bin/b\n}",
        "function f {\n T=/usr/bin/b\n}",
        "(T=/usr/bin/b)",
        "echo x | while read -r T; do :; done",
        "read -r T </etc/tool",
        "T+=2",
        "if true; then U=/usr/bin/b; else U=/usr/bin/c; fi; T=$U",
        "while false; do T=/usr/bin/b; done",
    ],
)
def test_a_variable_that_is_perhaps_set_again_makes_the_call_unclear(perhaps: str) -> None:
    script = f"T=/usr/bin/a\n{perhaps}\nalternatives --install /usr/bin/x x $T 5"
    assert read_alternatives(script) == ((), ("alternatives --install /usr/bin/x x $T 5",))


@pytest.mark.parametrize(
    "line",
    [
        "sh <<END", "/bin/sh -e <<'END' || :", "cat <<-END | sh", "[ -x /x ] && bash -s <<\"END\"", "su - user <<END",
        "chroot / /bin/sh <<\\END",
    ],
)  # fmt: skip
def test_a_call_in_a_document_that_a_shell_runs_is_told_as_unclear(line: str) -> None:
    call = "alternatives --install /usr/bin/x x /usr/bin/y 50"
    document = f"alternatives \\\n  --install /usr/bin/x x /usr/bin/y 50\n# {call}\n"
    assert read_alternatives(f"{line}\n{document}END\necho {call}") == ((), (call,))


@pytest.mark.parametrize("shell", ["sh", "/bin/bash -e", "sh -s -- 2>&1"])
def test_a_call_that_is_said_to_a_shell_is_told_as_unclear(shell: str) -> None:
    call = "alternatives --install /usr/bin/x x /usr/bin/y 50"
    assert read_alternatives(f"echo '{call}' | {shell}") == ((), (f"echo {call}",))
    assert read_alternatives(f"echo '{call}' | logger\nsh -c 'echo'") == ((), ())


def test_a_document_that_is_written_to_a_file_is_no_call() -> None:
    call = "alternatives --install /usr/bin/x x /usr/bin/y 50"
    for line in ("cat >/usr/share/x.sh <<END", "cat <<END # not for sh", "tee /etc/sh.conf <<END"):
        assert read_alternatives(f"{line}\n{call}\nEND") == ((), ())


def test_configuration_that_only_etc_has_is_told_from_what_is_found_in_the_tree() -> None:
    assert is_read_elsewhere("etc/ssl/openssl.cnf")
    assert is_read_elsewhere("etc/grid-security/gsi-authz.conf")
    for path in (
        "etc/gfal2.d/http.conf",
        "etc/vomses",
        "etc/profile.d/grid-env.sh",
        "bin/x",
        "etc/grid-security/gsi.conf",
    ):
        assert not is_read_elsewhere(path)


@given(st.text())
def test_no_script_makes_reading_fail(text: str) -> None:
    read_alternatives("update-alternatives --install " + text)


@pytest.mark.parametrize(
    "script",
    [
        'posix.exec("/usr/sbin/alternatives", "--install", "/usr/bin/x", "x", "/usr/bin/y", "50")',
        'OPTIONS="--install /usr/bin/x x /usr/bin/y 50"\nupdate-alternatives $OPTIONS',
    ],
)
def test_a_call_that_is_no_command_of_the_script_is_told_as_unclear(script: str) -> None:
    found, unclear = read_alternatives(script)
    assert found == ()
    assert len(unclear) == 1 and "--install" in unclear[0]
