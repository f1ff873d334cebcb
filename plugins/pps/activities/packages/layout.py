"""Where a package's files go in a relocatable client tree, and what never goes there.

`/usr/bin` -> `bin`, `/usr/lib/<multiarch>`, `/usr/lib`, `/usr/lib64` and their twins without `/usr` ->
`lib`, `/usr/share` -> `share`, `/etc` -> `etc`. Environment variables do the rest (grid-env.sh).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pps.domain.base.errors import PackageError
from pps.domain.packages.shell_text import sure_commands

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

#: Programs that are there for the packaging system, not for people: at a site they would be found, and fail.
HELPERS = (
    "py3compile", "py3clean", "pycompile", "pyclean", "pypycompile", "pypyclean", "update-alternatives", "alternatives",
    "dpkg", "dpkg-*", "apt-*", "debconf*", "dh_*", "deb-systemd-*", "rpm", "rpm2*", "rpmdb", "rpmkeys", "ldconfig",
    "ldconfig.*", "invoke-rc.d", "update-rc.d", "policy-rc.d", "start-stop-daemon", "install-info", "update-info-dir",
    "update-ca-certificates", "update-ca-trust", "update-mime-database", "update-desktop-database", "update-mime",
    "update-icon-caches", "gtk-update-icon-cache", "update-catalog", "update-xmlcatalog", "update-shells", "add-shell",
    "remove-shell", "update-passwd", "pam-auth-update", "ucf", "ucfr", "ucfq", "chkconfig", "tmpreaper",
)  # fmt: skip
#: Configuration that grid-env, or the software by itself, finds in the tree.
FOUND_IN_THE_TREE = (
    "etc/profile.d/*", "etc/gfal2.d/*", "etc/grid-security/gsi.conf", "etc/grid-security/vomsdir/*",
    "etc/grid-security/certificates/*", "etc/vomses", "etc/vomses/*", "etc/bash_completion.d/*", "etc/ld.so.conf.d/*",
)  # fmt: skip

_TOOL = re.compile(r"(?:^|[/\s{}])(?:update-)?alternatives\W*$")
_CALL = re.compile(r"alternatives\b.*--install", re.DOTALL)
_SAYING = frozenset(("echo", "printf", "logger", ":"))
_SHELLS = frozenset(("sh", "bash", "dash", "eval", "su", "runuser"))
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=(.*)", re.DOTALL)
_DECLARING = frozenset(("export", "readonly", "local", "declare", "typeset"))
_SETTING = frozenset(("read", "unset", "getopts", "mapfile", "readarray"))
_DOCUMENT = re.compile(r"<<-?[ \t]*['\"\\]?(\w+)")
_RUN_DOCUMENTS = _SHELLS | {"ksh", "mksh", "zsh", "chroot"}
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)")
_PATH = re.compile(r"(/[A-Za-z0-9_+][A-Za-z0-9._+@:-]*)+")
_COMMANDS_AT_MOST = 5000
_NESTED_AT_MOST = 20
_LONGEST = 1024

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
    """Where `path` of a package goes in the tree; None if it is left out. `PackageError` for an unknown root."""
    found = next(((m, root) for pattern, root in _MAPPED if (m := pattern.fullmatch(path))), None)
    mapped = found[1] + (found[0][1] or "") if found else path
    folder, _, name = mapped.rpartition("/")
    if folder in ("bin", "sbin") and any(fnmatchcase(name, helper) for helper in HELPERS):
        return None
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


def read_alternatives(install_script: str) -> tuple[tuple[Alternative, ...], tuple[str, ...]]:
    """The links that a package's install script declares, and the calls whose declarations we cannot make out.

    Read, never run. The tool may have any path, or be named by a variable; variables and loops count where their values
    are plain words of the script itself.
    """
    found: list[Alternative] = []
    unclear: list[str] = []
    variables = _Variables()
    values = variables.values
    script = sure_commands(install_script)[:_COMMANDS_AT_MOST]
    for (words, sure), (following, _) in zip(script, [*script[1:], ([""], False)], strict=False):
        if variables.learn(words, sure=sure):
            continue
        if words[0] in _SAYING:
            if any(_CALL.search(word) for word in words) and _reads_commands(following):
                unclear.append(" ".join(words))
            continue
        if words[0].rpartition("/")[2] in _SHELLS:
            inner = read_alternatives(max(words, key=len)) if any(_CALL.search(w) for w in words) else ((), ())
            found += inner[0]
            unclear += inner[1]
        elif "--install" in words[1:]:
            links = [_installed(one) for one in _expanded(words, values)]
            if variables.doubts(words) and any(link for link in links):
                unclear.append(" ".join(words))
                continue
            if any(link is None for link in links) and any(_TOOL.search(w) for w in _expanded(words, values)[0]):
                unclear.append(" ".join(words))
            found += [one for link in links for one in link or ()]
        elif any(_CALL.search(word) for word in words):
            unclear.append(" ".join(words))
    unclear += _calls_in_documents(install_script)
    if not found and not unclear and "alternatives" in install_script and "<<" not in install_script:
        # a program in another language, options that are in a variable; a here-document may be a text for people
        lines = (line.strip() for line in install_script.splitlines())
        unclear += [line for line in lines if "--install" in line and not line.startswith(("#", "--", *_SAYING))]
    return tuple(dict.fromkeys(found)), tuple(dict.fromkeys(unclear))


@dataclass
class _Variables:
    """What the variables of a script hold, as far as its text says."""

    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """for a loop's variable, every value that it takes"""
    doubtful: set[str] = field(default_factory=set)
    """may hold one value or another"""

    def learn(self, words: list[str], *, sure: bool) -> bool:
        """Take note of a command that sets variables; tell whether it is one."""
        if words[0] == "for" and len(words) > 3 and words[2] == "in":
            self.values[words[1]] = tuple(words[3:])
            self.doubtful.discard(words[1])
            return True
        if words[0] in _SETTING:
            self.doubtful.update(words[1:])
            return True
        declaring = words[0] in _DECLARING
        matches = list(map(_ASSIGNMENT.fullmatch, words[1:] if declaring else words))
        if not declaring and None in matches:  # before a command they hold for that command
            return False
        for match in matches:
            if match is not None:
                self._assign(match[1], match[3], sure=sure, more=bool(match[2]))
        return True

    def doubts(self, words: list[str]) -> bool:
        """Tell whether a command depends on a variable that may hold one value or another."""
        todo, seen = list(words), set[str]()
        while todo:
            names = {m[1] or m[2] for m in _VARIABLE.finditer(todo.pop())} - seen
            if names & self.doubtful:
                return True
            seen |= names
            todo += [value for name in names for value in self.values.get(name, ())]
        return False

    def _assign(self, name: str, value: str, *, sure: bool, more: bool) -> None:
        # what it refers to may change later on; a loop's variable is looked up when its value is needed
        single = {n: v for n, v in self.values.items() if len(v) == 1}
        doubtful = more or self.doubts([value])
        ((value,),) = _expanded([value], single)
        if any(name in (m[1], m[2]) for m in _VARIABLE.finditer(value)):  # PATH=$PATH:/sbin
            self.values.pop(name, None)
            self.doubtful.add(name)
            return
        before = self.values.get(name, (value,))
        if sure or before == (value,):
            self.values[name] = (value,)
        else:
            self.values[name] = (*before, value)
            doubtful = True
        (self.doubtful.add if doubtful else self.doubtful.discard)(name)


def _reads_commands(words: list[str]) -> bool:
    """Tell whether a command is a shell that runs what it is given in a pipe."""
    name = words[0].rpartition("/")[2]
    return (
        name in _SHELLS
        and "-c" not in words
        and (name == "su" or all(w.startswith("-") or w.isdigit() for w in words[1:]))
    )


def _calls_in_documents(install_script: str) -> list[str]:
    """Calls in here-documents that a shell runs; all others are texts for people."""
    found: list[str] = []
    end = ""
    runs = False
    for whole in install_script.replace("\\\n", " ").splitlines():
        line = " ".join(whole.split())
        if end:
            if line == end:
                end = ""
            elif runs and _CALL.search(line) and not line.startswith("#"):
                found.append(line)
        elif not line.startswith("#") and (match := _DOCUMENT.search(line)):
            end = match[1]
            words = re.split(r"[ |;&()<>]+", line.partition(" #")[0])
            runs = any(word.rpartition("/")[2] in _RUN_DOCUMENTS for word in words)
    return found


def _expanded(words: list[str], values: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    """The command with the values of its variables, once for each value of a loop."""
    result = [words]
    for _ in range(_NESTED_AT_MOST):
        name = next((m[1] or m[2] for w in result[0] for m in _VARIABLE.finditer(w) if (m[1] or m[2]) in values), None)
        if name is None:
            return result
        reference = re.compile(rf"\$\{{{name}\}}|\${name}(?![A-Za-z0-9_])")
        # a function as the new text: a value is no pattern
        result = [
            [reference.sub(lambda _, v=value: v, word)[:_LONGEST] for word in one]  # type: ignore[misc]
            for one in result[:_NESTED_AT_MOST]
            for value in values[name][:_NESTED_AT_MOST]
        ]
    return result


def _installed(words: list[str]) -> tuple[Alternative, ...] | None:
    """What one call declares; None if that cannot be told, or it is no call of the tool."""
    start = words.index("--install")
    if not any(_TOOL.search(word) or "$" in word or "`" in word for word in words[:start]):
        return None
    if len(words) < start + 5 or not re.fullmatch(r"-?\d{1,9}", words[start + 4]):
        return None
    priority, pairs = int(words[start + 4]), [(words[start + 1], words[start + 3])]
    rest = words[start + 5 :]
    while rest:
        if rest[0] in ("--slave", "--follower"):
            if len(rest) < 4:
                return None
            pairs.append((rest[1], rest[3]))
            rest = rest[4:]
        else:
            rest = rest[1:]  # an option of the tool itself, or where its words go
    plain = [[re.sub("//+", "/", path) for path in pair] for pair in pairs]
    if not all(_PATH.fullmatch(path) for pair in plain for path in pair):
        return None
    return tuple(Alternative(link[1:], target[1:], priority) for link, target in plain)


def is_read_elsewhere(path: str) -> bool:
    """Tell whether a file of the tree is configuration that its software looks for in /etc, not in the tree."""
    return path.startswith("etc/") and not any(fnmatchcase(path, pattern) for pattern in FOUND_IN_THE_TREE)
