"""Where a package's files go in a relocatable client tree, and what never goes there.

`/usr/bin` -> `bin`, `/usr/lib/<multiarch>`, `/usr/lib`, `/usr/lib64` and their twins without `/usr` ->
`lib`, `/usr/share` -> `share`, `/etc` -> `etc`. Environment variables do the rest (grid-env.sh).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pps.domain.errors import PackageError

_MAPPED = (
    (re.compile(r"(?:usr/)?lib/[a-z0-9_]+-linux-(?:gnu|musl)[a-z0-9_]*(/.+)?"), "lib"),
    (re.compile(r"(?:usr/)?lib(?:64)?(/.+)?"), "lib"),
    (re.compile(r"(?:usr/)?bin(/.+)?"), "bin"),
    (re.compile(r"(?:usr/)?sbin(/.+)?"), "sbin"),
    (re.compile(r"usr/libexec(/.+)?"), "libexec"),
    (re.compile(r"usr/share(/.+)?"), "share"),
    (re.compile(r"etc(/.+)?"), "etc"),
    (re.compile(r"opt(/.+)?"), "opt"),
)

#: Belongs to servers, builds or the package tools; a client that runs from any prefix needs none of it.
#: Copyright files stay: whoever hands on the software must hand on its licence.
LEFT_OUT = (
    "boot", "dev", "home", "media", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var",
    "etc/cron.*", "etc/default", "etc/init.d", "etc/logrotate.d", "etc/systemd", "lib/systemd", "lib/udev",
    "lib/sysusers.d", "lib/tmpfiles.d", "lib/.build-id", "lib/debug", "lib/pkgconfig", "share/pkgconfig",
    "share/lintian", "share/bug", "share/doc-base", "share/apport", "usr/include", "usr/src", "usr/games", "usr/local",
)  # fmt: skip

#: The C library and its loader are the site's own: a second one in LD_LIBRARY_PATH breaks every other program there.
NEVER_BUNDLED_PACKAGES = frozenset(
    {"libc6", "libc-bin", "libc6-i386", "locales", "glibc", "glibc-common", "glibc-minimal-langpack", "musl"}
)
NEVER_BUNDLED_FILES = (
    "libc.so.6", "libc-*.so", "ld-linux*.so.*", "ld-2.*.so", "ld64.so.*", "ld-musl-*.so.*", "libpthread.so.0",
    "libm.so.6", "libdl.so.2", "librt.so.1", "libutil.so.1", "libresolv.so.2", "libanl.so.1", "libthread_db.so.1",
    "libnss_files.so.2", "libnss_dns.so.2",
)  # fmt: skip


def place(path: str) -> str | None:
    """Where `path` of a package stands in the tree; None if it is left out. `PackageError` for an unknown root."""
    found = next(((m, root) for pattern, root in _MAPPED if (m := pattern.fullmatch(path))), None)
    mapped = found[1] + (found[0][1] or "") if found else path
    if mapped in ("", "usr") or any(fnmatchcase(mapped, p) or fnmatchcase(mapped, f"{p}/*") for p in LEFT_OUT):
        return None
    if mapped.startswith("share/doc/"):
        # deb: share/doc/<package>/copyright; rpm: share/licenses, which is not below share/doc
        return mapped if fnmatchcase(mapped, "share/doc/*/copyright*") else None
    if found is None:
        raise PackageError(f"path {path[:80]!r}", "has no place in a relocatable client.", "Correct the package.")
    return mapped


def checked_for_libc(path: str) -> str:
    """Return a place in the tree, or raise if it would bring a C library along."""
    name = path.rpartition("/")[2]
    if path.startswith("lib") and any(fnmatchcase(name, pattern) for pattern in NEVER_BUNDLED_FILES):
        raise PackageError(
            f"path {path[:80]!r}",
            "belongs to the C library, which is the site's own.",
            "Take its package out of the patch.",
        )
    return path


@dataclass(frozen=True, slots=True)
class Alternative:
    """A link that `update-alternatives --install` would make; paths without the leading slash."""

    link: str
    target: str
    priority: int


def alternatives(install_script: str) -> Iterator[Alternative]:
    """The links that a package's install script declares.

    Read, never run, and conservatively: only calls whose arguments are all literal. A loop or a
    variable is passed over; the probes at the site notice a tool that is missing.
    """
    script = re.sub(r"\\\n", " ", install_script)
    for line in script.splitlines():
        if "update-alternatives" not in line:
            continue
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:
            continue
        for start, word in enumerate(words):
            if word.rpartition("/")[2] == "update-alternatives":
                yield from _installed(words[start + 1 :])


def _installed(words: list[str]) -> Iterator[Alternative]:
    priority = 0
    while words:
        if words[0] == "--install" and len(words) >= 5 and re.fullmatch(r"-?\d{1,9}", words[4]):
            priority = int(words[4])
            links, words = [(words[1], words[3])], words[5:]
        elif words[0] == "--slave" and len(words) >= 4:
            links, words = [(words[1], words[3])], words[4:]
        elif words[0] in ("--quiet", "--force"):
            links, words = [], words[1:]
        else:
            return
        for link, target in links:
            if all(re.fullmatch(r"(/[A-Za-z0-9_+][A-Za-z0-9._+@:-]*)+", p) for p in (link, target)):
                yield Alternative(link[1:], target[1:], priority)
