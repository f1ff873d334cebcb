"""How an accepted release gets into a tracker, and how a correction of it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pps.activities.ports.tracker import Tracker
from pps.domain.base.errors import RefusedError
from pps.domain.packages.patch import Patch, PatchState

#: What a provider corrects; the rest of a patch is others' to say, and product and version are what it is.
_CORRECTED = (
    "title", "platforms", "repository", "packages", "externals", "release_notes", "special_configuration",
    "new_variables", "changed_variables", "kind", "service_type", "component_parameters", "operational_changes",
    "database_schema_changed", "clients_compatible", "new_functionality", "installation_guide", "configuration_guide",
    "test_cases",
)  # fmt: skip
#: Of trackers with the port's own door alone.
_BY_THE_PORT = ("bugs", "cves")
_TRIES = 5


def entered(tracker: Tracker, patch: Patch, document: Mapping[str, Any], number: int | None, comment: str) -> int:
    """Enter a release, or correct it; returns its number. What is there already, as it is, changes nothing.

    Args:
        document: of the release, for what is corrected.
        number: of the patch that the release is in the tracker already; None: it is looked for.
    """
    if number is None:
        number = _entered(tracker, patch)
    # also after an earlier try that could not be put on record: it may have entered what was corrected since
    corrected = (*_CORRECTED, *(_BY_THE_PORT if hasattr(tracker, "enter") else ()))
    tracker.edit(number, {name: document[name] for name in corrected})  # type: ignore[attr-defined]
    if tracker.patch(number).state is PatchState.WITH_PROVIDER:
        tracker.set_state(number, PatchState.READY_FOR_CERTIFICATION, "Corrected by its provider.")
    tracker.comment(number, comment)
    return number


def _entered(tracker: Tracker, patch: Patch) -> int:
    """A new patch; one that an earlier try has entered, before it could be put on record, is found again."""
    enter = getattr(tracker, "enter", None)  # the port's, as soon as every tracker has it
    if enter is not None:
        return int(enter(patch, submission=f"{patch.metapackage} {patch.version}"))
    there = _there(tracker, patch)
    return _created(tracker, patch) if there is None else there


def _there(tracker: Tracker, patch: Patch) -> int | None:
    """A patch that an earlier try has entered, before it could be put on record."""
    same = (patch.metapackage, patch.version, patch.provider)
    return next((p.number for p in tracker.patches() if (p.metapackage, p.version, p.provider) == same), None)


def _created(tracker: Tracker, patch: Patch) -> int:
    for _ in range(_TRIES):
        number = max((p.number for p in tracker.patches()), default=0) + 1
        try:
            tracker.create(replace(patch, number=number))  # type: ignore[attr-defined]
        except RefusedError:
            if number not in {p.number for p in tracker.patches()}:
                raise  # it is not the number that is refused
            continue
        return number
    raise RefusedError(f"{patch.metapackage} {patch.version}", ("Others were given its number each time.",))
