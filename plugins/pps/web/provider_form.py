"""A release as a form: lines of text for what the document has as lists, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pps.activities.packages.uploads import Uploaded
from pps.config.release_documents import FIELDS
from pps.domain.base.errors import RefusedError

_BOXES = ("database_schema_changed", "clients_compatible", "new_functionality")
_REPOSITORY = ("repository_kind", "url", "suite", "components")
_WORDS = ("platforms", "new_variables", "changed_variables")
_LINES = ("component_parameters", "vex")
_ENDS_CVE = re.compile(r",|\n|\s(?=CVE-)")
#: Fields of the form; with the button, no other is sent.
NAMES = (*(name for name in FIELDS if name != "repository"), *_REPOSITORY)


def as_document(typed: Mapping[str, str]) -> dict[str, Any]:
    """What was typed as a document; `RefusedError` for a line that is none. Fields that are empty are left out."""
    document: dict[str, Any] = {
        "repository": {
            "kind": typed.get("repository_kind", ""),
            "url": typed.get("url", "").strip(),
            "suite": typed.get("suite", "").strip(),
            "components": typed.get("components", "").replace(",", " ").split(),
        }
    }
    for name in NAMES:
        text = typed.get(name, "")
        if name in _REPOSITORY or not text.strip():
            continue
        if name in _WORDS:
            document[name] = text.replace(",", " ").split()
        elif name == "cves":
            document[name] = [entry.strip() for entry in _ENDS_CVE.split(text) if entry.strip()]
        elif name in _LINES:
            document[name] = [line.strip() for line in text.splitlines() if line.strip()]
        elif name in _READ:
            document[name] = [_READ[name](line.strip()) for line in text.splitlines() if line.strip()]
        elif name == "depends_on":
            document[name] = [_number(word, "A patch that it depends on") for word in text.replace(",", " ").split()]
        elif name in _BOXES:
            document[name] = True
        else:
            document[name] = text if name in ("release_notes", "special_configuration") else text.strip()
    # an empty box is sent as nothing; of these, the document's own default is yes
    document["clients_compatible"] = bool(typed.get("clients_compatible"))
    return document


def as_typed(document: Mapping[str, Any]) -> dict[str, str]:
    """A document as the form shows it."""
    typed = dict.fromkeys(NAMES, "")
    repository = document.get("repository") or {}
    typed |= {
        "repository_kind": str(repository.get("kind", "")),
        "url": str(repository.get("url", "")),
        "suite": str(repository.get("suite", "")),
        "components": " ".join(repository.get("components", ())),
    }
    for name, value in document.items():
        if name not in typed or value is None:
            continue
        if name in ("packages", "externals"):
            typed[name] = "\n".join(f"{p['name']} {p['version']} {p['arch']}" for p in value)
        elif name == "bugs":
            typed[name] = "\n".join(f"{b['number']} {b['severity']} {b['originator']} {b['title']}" for b in value)
        elif name == "test_cases":
            typed[name] = "\n".join(f"{c['name']} {c['title']}" for c in value)
        elif isinstance(value, bool):
            typed[name] = "yes" if value else ""
        elif isinstance(value, list | tuple):
            typed[name] = ("\n" if name in _LINES else " ").join(map(str, value))
        else:
            typed[name] = str(value)
    return typed


def with_uploaded(typed: Mapping[str, str], taken: Sequence[Uploaded]) -> dict[str, str]:
    """The form with the repository and the lines of packages that were uploaded from it; all else as it was."""
    if not taken:
        return dict(typed)
    repository, lines = taken[0].repository, typed.get("packages", "").splitlines()
    known = {tuple(line.split()) for line in (*lines, *typed.get("externals", "").splitlines())}
    refs = dict.fromkeys((one.package.name, one.package.version, one.package.arch) for one in taken)
    return {
        **typed,
        "repository_kind": repository.kind.value,
        "url": repository.url,
        "suite": repository.suite,
        "components": " ".join(repository.components),
        "packages": "\n".join([*(x for x in lines if x.strip()), *(" ".join(r) for r in refs if r not in known)]),
    }


def _package(line: str) -> dict[str, str]:
    words = line.split()
    if len(words) != 3:
        raise _refused(f"{line[:80]!r} is no package: write its name, version and architecture, e.g. x 1.0-1 amd64.")
    return dict(zip(("name", "version", "arch"), words, strict=True))


def _bug(line: str) -> dict[str, Any]:
    words = line.split(maxsplit=3)
    if len(words) != 4:
        raise _refused(
            f"{line[:80]!r} is no bug: write its number, severity, originator's address and title, e.g. "
            "101 major somebody@example.org No IPv6."
        )
    return {
        "number": _number(words[0], "A bug"),
        "severity": words[1].lower(),
        "originator": words[2],
        "title": words[3],
    }


def _case(line: str) -> dict[str, str]:
    name, _, title = line.partition(" ")
    if not title.strip():
        raise _refused(f"{line[:80]!r} is no test case: write a short name and what it is, e.g. renew A proxy lives.")
    return {"name": name, "title": title.strip()}


_READ: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "packages": _package,
    "externals": _package,
    "bugs": _bug,
    "test_cases": _case,
}


def _number(word: str, what: str) -> int:
    word = word.removeprefix("#")
    if not (word.isascii() and word.isdigit() and len(word) < 10):
        raise _refused(f"{what} has a number; {word[:40]!r} is none.")
    return int(word)


def _refused(why: str) -> RefusedError:
    return RefusedError("release", (why,), "Nothing was looked at.")
