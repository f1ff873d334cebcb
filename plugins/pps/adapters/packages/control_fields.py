"""The control file of a Debian package, read strictly (deb-control(5)), and how much of it goes into an index.

An index is what every site's apt reads: a package must not be able to say more in it than what it is itself. So a
field that stands there twice, a control character or a line that apt, dpkg and we could read in different ways is an
error, only fields that are known here are written, and relations are written only if apt can read them: with one
that it cannot, it refuses the whole index.

Why not python-debian: of two fields of one name its `Deb822` takes the last without a word, a carriage return begins a
field, and what is no field is passed over. Its strict reader (`_deb822_repro`) refuses some of that, lets control
characters through, and says of itself that its way with unsound files may change. So only the tests use it, and
show each difference.
"""

from __future__ import annotations

import re

from pps.domain.base.errors import PackageError

_NEXT = "Ask the provider of the package."
_CONTROL_BYTES = 256 << 10
_NAME = re.compile(r"(?![#-])[!-9;-~]+")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_IDENTITY = {
    "Package": re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*"),
    "Version": re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:-]*"),
    "Architecture": re.compile(r"[a-z0-9][a-z0-9-]*"),
}
_OF_AN_INDEX = ("filename", "size", "md5sum", "sha1", "sha256", "sha512", "description-md5")
_RELATIONS = (
    "Pre-Depends", "Depends", "Recommends", "Suggests", "Enhances", "Breaks", "Conflicts", "Replaces", "Provides",
)  # fmt: skip
# Essential, Important and Protected are not among them: apt would install such a package everywhere, unasked.
_WRITTEN = (
    "Source", "Multi-Arch", "Priority", "Section", "Maintainer", "Installed-Size", *_RELATIONS,
    "Homepage", "Description",
)  # fmt: skip
_VALUES = {
    "Installed-Size": re.compile(r"[0-9]{1,15}"),
    "Multi-Arch": re.compile(r"no|same|foreign|allowed"),
    "Priority": re.compile(r"[A-Za-z-]{1,20}"),
}
_RELATION = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9+._~-]*(?::[a-z0-9-]+)?(?: ?\( ?(?:<<|<=|=|>=|>>|<|>) ?[A-Za-z0-9.+~:_^-]+ ?\))?"
)


def control_fields(subject: str, data: bytes) -> dict[str, str]:
    """Each field once, by its lower-case name; continued lines keep their first blank. `PackageError` if it is odd."""

    def odd(what: str) -> PackageError:
        return PackageError(subject, f"has {what} in its control file.", _NEXT)

    if len(data) > _CONTROL_BYTES:
        raise odd(f"more than {_CONTROL_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise odd(f"{data[error.start : error.start + 1]!r}, which is not UTF-8,") from error
    fields: dict[str, str] = {}
    name = ""
    for line in text.rstrip("\n").split("\n"):
        if control := _CONTROL.search(line):
            field = line.partition(":")[0] if not line.startswith((" ", "\t")) else name
            raise odd(f"a control character (U+{ord(control[0]):04X}) in field {field[:40]!r}")
        if not line.strip():
            raise odd("more than one paragraph")
        if line.startswith((" ", "\t")):
            if not name:
                raise odd("a continued line before there is a field")
            fields[name] += f"\n{line.rstrip()}"
            continue
        stated, colon, value = line.partition(":")
        name = stated.lower()
        if not (colon and _NAME.fullmatch(stated)):
            raise odd(f"a line that is no field ({line[:40]!r})")
        if name in fields:
            raise odd(f"the field {stated[:40]!r} twice")
        if name in _OF_AN_INDEX:
            raise odd(f"a field {stated!r}, which is the index's own,")
        fields[name] = value.strip()
    if reason := next(filter(None, (_against_identity(name, fields) for name in _IDENTITY)), ""):
        raise odd(reason)
    return fields


def _against_identity(name: str, fields: dict[str, str]) -> str:
    value = fields.get(name.lower(), "")
    if not value or "\n" in value:
        return f"{'a field of several lines' if value else 'no field'} {name!r}"
    return "" if _IDENTITY[name].fullmatch(value) else f"{value[:40]!r} in the field {name!r}"


def index_stanza(subject: str, fields: dict[str, str]) -> str:
    """What an index says of a package, without the lines of its file; `PackageError` if apt could not read it."""
    lines = [f"{name}: {fields[name.lower()]}" for name in _IDENTITY]
    for name in _WRITTEN:
        value = fields.get(name.lower(), "")
        if name != "Description":
            value = " ".join(value.split())
        if not value:
            continue
        if name in _RELATIONS:
            value = _relations(subject, name, value)
        elif (allowed := _VALUES.get(name)) and not allowed.fullmatch(value):
            raise PackageError(subject, f"has {value[:40]!r} in the field {name!r} of its control file.", _NEXT)
        lines.append(f"{name}: {value}")
    return "\n".join(lines)


def _relations(subject: str, name: str, value: str) -> str:
    clauses = [[one.strip() for one in clause.split("|")] for clause in value.split(",") if clause.strip()]
    for one in (one for clause in clauses for one in clause):
        if not _RELATION.fullmatch(one):
            why = f"has {one[:60]!r} in the field {name!r} of its control file, which apt cannot read."
            raise PackageError(subject, why, _NEXT)
    return ", ".join(" | ".join(clause) for clause in clauses)
