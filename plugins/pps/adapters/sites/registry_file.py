"""Changes sites.yaml in place: only the values that differ, so that comments, order and layout stay.

PyYAML tells where each value stands; a library that reads and writes the whole file anew would fold
and quote other lines than those meant. Whatever the edit makes of the file is read back with
the strict model, and must say exactly what was meant, before it takes the file's place.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pps.activities.sites.registry_import import ImportPlan, SiteChange
from pps.config.loader import read_model
from pps.config.site_models import SitesFile
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError

_UNCHANGED = "sites.yaml is unchanged."


@dataclass(frozen=True)
class Registry:
    """sites.yaml as it was when it was read."""

    path: Path
    file: SitesFile
    digest: str


def read_registry(path: Path) -> Registry:
    """Read and check sites.yaml, and remember what it was."""
    path = path.resolve()  # a link stays a link: what it leads to is edited
    before = _digest(path)
    file = read_model(path, SitesFile)
    if _digest(path) != before:
        raise _changed(path)
    return Registry(path, file, before)


def apply_plan(registry: Registry, plan: ImportPlan) -> bool:
    """Write the plan's changes into sites.yaml; True if there was something to write.

    The file as it was is kept beside it as `sites.yaml.bak`.

    Raises:
        NotYetAllowedError: somebody else has changed the file since it was read, or is changing it now.
        ConfigurationError: the result would not be valid, or the file cannot be written. Nothing has changed.
    """
    if plan.does_nothing:
        return False
    path = registry.path
    part, backup = (path.with_name(f".{path.name}.{end}.{os.getpid()}") for end in ("part", "bak"))
    try:
        with _only_we(path):
            old = path.read_bytes()
            if hashlib.sha256(old).hexdigest() != registry.digest:
                raise _changed(path)
            new = edited(old.decode(), plan.changes, plan.additions)
            _write(part, new.encode(), like=path)
            _check(part, registry.file, plan)
            _write(backup, old, like=path)
            backup.replace(path.with_name(f"{path.name}.bak"))
            part.replace(path)
            _sync(path.parent)
    except UnicodeDecodeError as error:
        raise ConfigurationError(path.name, "is not UTF-8.", f"Save it as UTF-8. {_UNCHANGED}") from error
    except OSError as error:
        raise ConfigurationError(
            str(path), f"cannot be written ({error.strerror}).", "Let this account write the file and its folder."
        ) from error
    finally:
        for leftover in (part, backup):
            with suppress(OSError):
                leftover.unlink(missing_ok=True)
    return True


def edited(text: str, changes: Iterable[SiteChange], additions: Iterable[Mapping[str, Any]]) -> str:
    """The text of sites.yaml with these values changed and these sites added."""
    newline = "\r\n" if "\r\n" in text else "\n"
    sites = _sites_of(yaml.compose(text, Loader=yaml.SafeLoader))
    by_name = {_value_of(site, "name").value: site for site in sites.value}
    edits: list[tuple[int, int, str]] = []  # from, to, replacement
    inserted: dict[int, list[str]] = {}  # end of a site's entry -> keys that it gets
    for change in changes:
        site = by_name[change.site]
        pair = next(((k, v) for k, v in site.value if k.value == change.key), None)
        if pair is None:
            inserted.setdefault(_end(site), []).append(f"{change.key}: {_flow(change.new)}")
        else:
            edits.append(_replacement(*pair, change.new))
    for site in by_name.values():
        if keys := inserted.get(_end(site)):
            edits.append(_insertion(text, site, keys, newline))
    if entries := list(additions):
        edits.append(_new_entries(text, sites, entries, newline))
    # From the end to the beginning, so that places stay right. At one place (the last site's new keys, and
    # new sites after it) what was asked for last goes in first, and so ends up last.
    ordered = sorted(enumerate(edits), key=lambda e: (e[1][0], e[0]), reverse=True)
    for _, (start, end, replacement) in ordered:
        text = text[:start] + replacement + text[end:]
    return text


def _sites_of(root: Any) -> yaml.SequenceNode:
    node = _value_of(root, "sites") if isinstance(root, yaml.MappingNode) else None
    if not isinstance(node, yaml.SequenceNode):
        raise ConfigurationError("sites.yaml", "has no list of sites.", "Correct the file.")
    return node


def _value_of(mapping: yaml.MappingNode, key: str) -> Any:
    return next(value for name, value in mapping.value if name.value == key)


def _end(node: Any) -> int:
    """Where a value really ends; a block's own mark stands after the blanks and comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _flow(value: Any) -> str:
    """A value on one line, quoted where it must be: `Silver`, `[Silver, Gold]`, `"no"`."""
    listed = yaml.safe_dump([value], default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return listed.strip()[1:-1]


def _replacement(key: Any, value: Any, new: Any) -> tuple[int, int, str]:
    if isinstance(value, yaml.CollectionNode) and not value.flow_style:
        # the lines of a block may stand no deeper than the key, where a flow list may not
        return key.end_mark.index, _end(value), f": {_flow(new)}"
    if value.start_mark.index == value.end_mark.index:  # `latitude:`, with nothing behind it, not even a blank
        return key.end_mark.index, value.end_mark.index, f": {_flow(new)}"
    return value.start_mark.index, value.end_mark.index, _flow(new)


def _line_end(text: str, index: int, newline: str) -> tuple[int, str]:
    """Where a new line can begin after this place, and what must precede it there."""
    end = text.find("\n", index)
    return (end + 1, "") if end >= 0 else (len(text), newline)


def _insertion(text: str, site: yaml.MappingNode, keys: list[str], newline: str) -> tuple[int, int, str]:
    if site.flow_style:
        place = _end(site.value[-1][1])
        return place, place, "".join(f", {key}" for key in keys)
    place, before = _line_end(text, _end(site), newline)
    indent = " " * site.value[0][0].start_mark.column
    return place, place, before + "".join(f"{indent}{key}{newline}" for key in keys)


def _new_entries(
    text: str, sites: yaml.SequenceNode, entries: list[Mapping[str, Any]], newline: str
) -> tuple[int, int, str]:
    if sites.flow_style and sites.value:
        place = _end(sites.value[-1])
        return place, place, "".join(f", {_flow(dict(entry))}" for entry in entries)
    if sites.flow_style:  # `sites: []`, perhaps with a comment after it
        start, end = sites.start_mark.index, sites.end_mark.index
        place, before = _line_end(text, end, newline)
        rest = text[end:place]
        if not rest.strip():  # leave no blank after the colon
            start = len(text[:start].rstrip(" "))
        return start, place, rest + before + _block(entries, 2, newline)
    place, before = _line_end(text, _end(sites), newline)
    return place, place, before + _block(entries, sites.start_mark.column, newline)


def _block(entries: list[Mapping[str, Any]], column: int, newline: str) -> str:
    lines = []
    for entry in entries:
        for number, (key, value) in enumerate(entry.items()):
            lead = " " * column + ("- " if number == 0 else "  ")
            if key == "services":  # one a line: a site may have dozens
                lines.append(f"{lead}{key}:")
                lines += [f"{' ' * column}    - {_flow(service)}" for service in value]
            else:
                lines.append(f"{lead}{key}: {_flow(value)}")
    return "".join(f"{line}{newline}" for line in lines)


def _check(part: Path, before: SitesFile, plan: ImportPlan) -> None:
    """Raise unless the new file is valid, and says what it said before except for the changes meant."""
    try:
        new = read_model(part, SitesFile)
        for site in new.sites:
            site.to_domain()
    except ConfigurationError as error:
        raise ConfigurationError("sites.yaml", f"would not be valid: {error.why}", _UNCHANGED) from error
    wanted = before.model_dump(mode="json", exclude_unset=True)
    entries = {site["name"]: site for site in wanted["sites"]}
    for change in plan.changes:
        entries[change.site][change.key] = change.new
    wanted["sites"] += [dict(entry) for entry in plan.additions]
    if new != SitesFile.model_validate(wanted):
        raise ConfigurationError(
            "sites.yaml",
            "is written in a way that cannot be edited automatically.",
            f"Enter the changes by hand. {_UNCHANGED}",
        )


@contextmanager
def _only_we(path: Path) -> Iterator[None]:
    """Two imports at once would each keep the other's half. The folder is locked, so no lock file stays."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotYetAllowedError(
                str(path), "is being changed by another import.", f"Run this again. {_UNCHANGED}"
            ) from error
        yield
    finally:
        os.close(folder)


def _write(path: Path, data: bytes, *, like: Path) -> None:
    """A file with the permissions (and where we may, the owner) of another one, brought safely to the disk."""
    status = like.stat()
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with suppress(PermissionError):
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
        os.fchmod(file.fileno(), status.st_mode & 0o777)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(
            str(path), f"cannot be read ({error.strerror}).", "Create it, or set PPS_CONFIG to the right folder."
        ) from error


def _changed(path: Path) -> NotYetAllowedError:
    return NotYetAllowedError(
        str(path), "has been changed since it was read.", "Nothing was written: run the import again."
    )
