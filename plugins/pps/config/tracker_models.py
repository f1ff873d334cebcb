"""The shape of config/tracker.yaml: which tracker keeps the patches, and how its words map to ours."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from pps.config.base_models import Duration, Model
from pps.config.patch_documents import PatchDocument
from pps.domain.packages.patch import PatchState, Severity

#: Fields of a patch that are an attribute of the tracker each; number and state have ways of their own.
FIELDS = tuple(name for name in PatchDocument.model_fields if name not in ("number", "state"))


class TrackerKind(StrEnum):
    """Trackers that we can talk to."""

    ROUNDUP = "roundup"
    GITHUB = "github"
    GITLAB = "gitlab"
    REQUEST_TRACKER = "request-tracker"
    ZAMMAD = "zammad"


def _plain(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is not None or parts.query or parts.fragment or not parts.hostname:
        raise ValueError("must be http(s)://host/path without user, password, ? and #")
    return url


Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=500), AfterValidator(_plain)]
Word = Annotated[str, Field(min_length=1, max_length=200)]


class Attribute(Model):
    """Where a tracker keeps a field of a patch."""

    name: Annotated[str, Field(max_length=200)]
    """The tracker's own name for it; "" where it has no such thing."""
    unit: Literal["person_hours", "person_days"] = "person_hours"
    """Of `programming_ph`: EGEE's trackers count in man-days of eight hours."""


class TrackerFile(Model):
    """tracker.yaml. The token is a connection, `pps_tracker`, never here."""

    kind: TrackerKind
    url: Url
    """Where its web pages are; the API is found below it."""
    project: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,199}$")] = "patch"
    """Where in the tracker the patches are: Roundup's class, a repository OWNER/NAME, a project, a queue, a group."""
    label: Word = "patch"
    """Issues with this label are patches (GitHub, GitLab)."""
    states: dict[PatchState, Word] = Field(default_factory=dict)
    """Our state -> the tracker's word, where it has another one."""
    severities: dict[Severity, Word] = Field(default_factory=dict)
    attributes: dict[str, str | Attribute] = Field(default_factory=dict)
    """Field of a patch -> the tracker's attribute, where it is not called as we call it."""
    timeout: Annotated[float, Field(gt=0, le=300)] = 30.0
    """Seconds that one answer may take."""
    read_whole_every: Duration = timedelta(hours=6)
    """GitHub, GitLab, Request Tracker and Zammad do not say what was deleted there, so that it stays in lists of
    patches (never in what is started) until all of them are read again: that long at most. Often enough for a list,
    and some twenty requests of the 5,000 that GitHub grants an hour."""

    @model_validator(mode="after")
    def _one_to_one(self) -> TrackerFile:
        if unknown := sorted(set(self.attributes) - set(FIELDS)):
            raise ValueError(f"attributes: {', '.join(unknown)} is no field of a patch; there are {', '.join(FIELDS)}")
        for what, words in (("states", self.states_there), ("severities", self.severities_there)):
            theirs = list(words.values())
            if twice := sorted({w for w in theirs if theirs.count(w) > 1}):
                raise ValueError(f"{what}: {', '.join(twice)} would stand for more than one of ours")
        return self

    @property
    def states_there(self) -> dict[str, str]:
        """Every state of ours -> the tracker's word."""
        return {s.value: self.states.get(s, s.value) for s in PatchState}

    @property
    def severities_there(self) -> dict[str, str]:
        """Every severity of ours -> the tracker's word."""
        return {s.value: self.severities.get(s, s.value) for s in Severity}

    @property
    def attributes_there(self) -> dict[str, Attribute]:
        """Every field that the tracker has -> its attribute."""
        given = {field: self.attributes.get(field, field) for field in FIELDS}
        found = {f: a if isinstance(a, Attribute) else Attribute(name=a) for f, a in given.items()}
        return {field: attribute for field, attribute in found.items() if attribute.name}
