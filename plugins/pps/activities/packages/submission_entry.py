"""How an accepted release gets into a tracker, and how a correction of it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pps.activities.ports.tracker import Tracker
from pps.domain.packages.patch import Patch, PatchState

#: What a provider corrects; the rest of a patch is others' to say, and product and version are what it is.
_CORRECTED = (
    "title", "platforms", "repository", "packages", "externals", "bugs", "release_notes", "special_configuration",
    "new_variables", "changed_variables", "kind", "service_type", "component_parameters", "operational_changes",
    "database_schema_changed", "clients_compatible", "new_functionality", "installation_guide", "configuration_guide",
    "test_cases", "cves", "vex", "embargo_until",
)  # fmt: skip


def entered(tracker: Tracker, patch: Patch, document: Mapping[str, Any], number: int | None, comment: str) -> int:
    """Enter a release, or correct it; returns its number. What is there already, as it is, changes nothing.

    Args:
        document: of the release, for what is corrected.
        number: of the patch that the release is in the tracker already; None: it may be there from an earlier try.
    """
    if number is None:
        number = tracker.enter(patch, submission=f"{patch.metapackage} {patch.version}")
    # also after an earlier try that could not be put on record: it may have entered what was corrected since
    tracker.edit(number, {name: document[name] for name in _CORRECTED if name in document})
    if tracker.patch(number).state is PatchState.WITH_PROVIDER:
        tracker.set_state(number, PatchState.READY_FOR_CERTIFICATION, "Corrected by its provider.")
    tracker.comment(number, comment)
    return number
