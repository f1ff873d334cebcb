"""The shape of config/activities.yaml: SD's tables "Tasks and Effort"."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, StrictInt, model_validator

from pps.config.base_models import Model, Name
from pps.domain.people.effort import Activity, EffortUnit, to_ph

_Title = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Notes = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


#: As SD's tables name those who have the effort: some sign in (`domain.roles`), some are sites.
RoleName = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z ]{1,40}$")]


class ActivityModel(Model):
    """One row of the tables."""

    key: Name
    section: Annotated[str, Field(pattern=r"^[0-9](\.[0-9]{1,2}){0,3}$")]
    who: Annotated[tuple[RoleName, ...], Field(min_length=1)]
    title: _Title
    per: Literal["", "week"] = ""
    effort_pd: Annotated[Decimal, Field(ge=0, le=1000, decimal_places=3)] | None
    """null: SD names the task, but no effort"""
    effort_ph: Annotated[StrictInt, Field(ge=0)] | None = None
    """where it is stated, it must equal `effort_pd`"""
    credits: Annotated[StrictInt, Field(ge=0)] | None = None
    """as `effort_ph`"""
    notes: _Notes = ""

    @model_validator(mode="after")
    def _one_effort(self) -> ActivityModel:
        if self.effort_pd is None:
            if self.effort_ph or self.credits:
                raise ValueError("has no effort_pd, so it can have neither effort_ph nor credits")
            return self
        hours = to_ph(self.effort_pd, EffortUnit.PD)
        if self.effort_ph not in (None, hours):
            raise ValueError(f"effort_pd {self.effort_pd} is {hours} PH, but effort_ph says {self.effort_ph}")
        if self.credits not in (None, hours):
            raise ValueError(f"effort_pd {self.effort_pd} is {hours} PH, but credits says {self.credits}")
        return self

    def to_domain(self) -> Activity:
        """The domain's activity."""
        hours = to_ph(self.effort_pd or 0, EffortUnit.PD)
        return Activity(self.key, self.title, self.who, hours, hours, self.per, self.notes, self.section)


class ActivitiesFile(Model):
    """activities.yaml."""

    activities: tuple[ActivityModel, ...]

    @model_validator(mode="after")
    def _each_key_once(self) -> ActivitiesFile:
        keys = [a.key for a in self.activities]
        if doubles := sorted({k for k in keys if keys.count(k) > 1}):
            raise ValueError(f"activities listed twice: {', '.join(doubles)}")
        return self
