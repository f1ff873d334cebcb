"""How a tracker's attributes become a patch, and a patch's fields attributes; the same for every tracker.

A tracker has texts, numbers and flags. Lists are one entry to a line; a package is `NAME VERSION ARCHITECTURE`, a
repository `apt URL SUITE COMPONENT ...` or `yum URL`. Bugs and test cases are things of their own where the tracker
has such; else they are lines, too: `NUMBER | SEVERITY | ORIGINATOR | TITLE` and `NAME | TITLE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pps.activities.ports.tracker import Reading
from pps.config.patch_documents import parse_patch, patch_document
from pps.config.tracker_models import TrackerFile
from pps.domain.base.errors import PackageError
from pps.domain.packages.patch import Patch

_PACKAGES = ("packages", "externals")
_LINES = (
    "platforms",
    "install_tested",
    "new_variables",
    "changed_variables",
    "component_parameters",
    "cves",
    "vex",
)
_FLAGS = ("basic_certification_passed", "database_schema_changed", "clients_compatible", "new_functionality")
_WORDS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
#: 1 PD = 8 PH (STYLE: effort is always in person hours)
_HOURS_A_DAY = 8


class WordBook:
    """The mapping of one tracker.yaml, both ways."""

    def __init__(self, file: TrackerFile, moment: str = "%Y-%m-%dT%H:%M:%S+00:00") -> None:
        """Args:
        moment: how the tracker writes a moment, in UTC.
        """
        self._moment = moment
        self.attributes = file.attributes_there
        self._states, self._severities = file.states_there, file.severities_there
        self._our_states = {theirs: ours for ours, theirs in self._states.items()}
        self._our_severities = {theirs: ours for ours, theirs in self._severities.items()}

    def attribute(self, field: str) -> str:
        """The tracker's name of a field; "" where it has no such thing."""
        return self.attributes[field].name if field in self.attributes else ""

    def state(self, ours: str) -> str:
        """The tracker's word for a state."""
        return self._states[ours]

    def severity(self, ours: str) -> str:
        """The tracker's word for a severity."""
        return self._severities[ours]

    # --- in ---

    def read(self, number: object, state: object, values: Mapping[str, Any], page: str = "") -> Reading:
        """What an entry is read as.

        Args:
            values: the tracker's attributes by its own names; those that are not there, or empty, say nothing.
        """
        document: dict[str, Any] = {"number": _number(number), "state": self._our_states.get(str(state), state)}
        for field, attribute in self.attributes.items():
            value = values.get(attribute.name)
            if value not in (None, "", [], ()):
                document[field] = self._field(field, value)
        known = document["number"] if isinstance(document["number"], int) else None
        title = str(document.get("title") or "")[:500]
        try:
            return Reading(known, title, page, parse_patch(document))
        except PackageError as error:
            return Reading(known, title, page, None, tuple(error.why.removesuffix(".").split("; ")))

    def _field(self, field: str, value: Any) -> Any:  # noqa: PLR0911 (one for each shape)
        if field in _FLAGS:
            return _WORDS.get(str(value).strip().lower(), value)
        if field == "programming_ph":
            return self._hours(value)
        if field == "embargo_until":
            return _moment(value)
        if not isinstance(value, str):
            return [self._bug(b) for b in value] if field == "bugs" and isinstance(value, list) else value
        text = value.replace("\r\n", "\n").replace("\r", "\n")
        if field in _LINES:
            return _entries(text)
        if field in _PACKAGES:
            return [_package(line) for line in _entries(text)]
        if field == "repository":
            return _repository(text)
        if field == "bugs":
            return [self._bug(_columns(line, ("number", "severity", "originator", "title"))) for line in _entries(text)]
        if field == "test_cases":
            return [_columns(line, ("name", "title")) for line in _entries(text)]
        return text

    def _bug(self, bug: Any) -> Any:
        if not isinstance(bug, Mapping):
            return bug
        severity = bug.get("severity")
        return {
            **bug,
            "number": _number(bug.get("number")),
            "severity": self._our_severities.get(str(severity), severity),
        }

    def _hours(self, value: Any) -> Any:
        try:
            hours = float(value)
        except (TypeError, ValueError):
            return value
        if self.attributes["programming_ph"].unit == "person_days":
            hours *= _HOURS_A_DAY
        return int(hours) if hours.is_integer() else value

    # --- out ---

    def write(self, patch: Patch, fields: frozenset[str] | None = None) -> dict[str, str]:
        """The tracker's attributes of a patch as texts, without state, bugs and test cases.

        Args:
            fields: only these fields.
        """
        document = patch_document(patch)
        texts = {}
        for field, attribute in self.attributes.items():
            if field not in ("bugs", "test_cases") and (fields is None or field in fields):
                texts[attribute.name] = self._text(field, document[field])
        return texts

    def _text(self, field: str, value: Any) -> str:  # noqa: PLR0911 (one for each shape)
        if field in _FLAGS:
            return "yes" if value else "no"
        if value in (None, [], ""):
            return ""
        if field == "embargo_until":
            return datetime.fromisoformat(value).astimezone(UTC).strftime(self._moment)
        if field in _LINES:
            return "\n".join(value)
        if field in _PACKAGES:
            return "\n".join(f"{p['name']} {p['version']} {p['arch']}" for p in value)
        if field == "repository":
            return " ".join((value["kind"], value["url"], value["suite"], *value["components"])).strip()
        if field == "programming_ph" and self.attributes[field].unit == "person_days":
            return f"{value / _HOURS_A_DAY:g}"
        return str(value)


def _number(value: object) -> object:
    """A number as trackers write it; anything else is left for the checks to name."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else value


def _moment(value: Any) -> Any:
    """Roundup writes `2026-03-01.12:00:00`, in UTC; others as ISO 8601 has it."""
    text = str(value)
    for form in ("%Y-%m-%d.%H:%M:%S", "%Y-%m-%d.%H:%M", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return text


def _entries(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _package(line: str) -> Any:
    words = line.split()
    return dict(zip(("name", "version", "arch"), words, strict=True)) if len(words) == 3 else line


def _repository(text: str) -> Any:
    words = text.split()
    if len(words) < 2:
        return text
    apt = words[0] == "apt"
    return {
        "kind": words[0],
        "url": words[1],
        "suite": words[2] if apt and len(words) > 2 else "",
        "components": words[3:] if apt else [],
    }


def _columns(line: str, names: tuple[str, ...]) -> dict[str, str]:
    # the last column is a title, which may hold anything
    return dict(zip(names, (cell.strip() for cell in line.split("|", len(names) - 1)), strict=False))
