"""What kind of server update a patch is: minor or major, backward compatible or not (SD 4.1.3, 4.1.4).

How we read SD where it leaves something open is in docs/adr/0014.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pps.domain.base.texts import one_line, reasons_against_reason
from pps.domain.packages.patch import Patch, PatchKind, PatchState, Severity
from pps.domain.record.rollouts import RolloutPath
from pps.domain.sites.site import PartnerLevel


class Size(StrEnum):
    """How much of an update it is (SD 4.1.3, "Definition"). Stored: never rename."""

    MINOR = "minor"
    """kept internal to the service infrastructure"""
    MAJOR = "major"
    """VOs are involved"""


class Compatibility(StrEnum):
    """Whether what exists goes on working. Stored: never rename."""

    BC = "bc"
    """backward compatible (SD 4.1.3)"""
    NON_BC = "non-bc"
    """non-backward compatible (SD 4.1.4)"""


@dataclass(frozen=True, slots=True)
class MinorLimits:
    """What an update may be and still be minor (config/policies.yaml, `minor_update`)."""

    major_bugs_below: int
    normal_bugs_below: int
    programming_ph_at_most: int


@dataclass(frozen=True, slots=True)
class UpdateVerdict:
    """What the rules say of a server update, shown before anything starts."""

    size: Size
    compatibility: Compatibility
    reasons_for_major: tuple[str, ...]
    """one sentence for each condition of "minor" that does not hold"""
    reasons_for_non_bc: tuple[str, ...]

    @property
    def path(self) -> RolloutPath:
        """The path of its pilot."""
        return RolloutPath.MINOR_PILOT if self.size is Size.MINOR else RolloutPath.MAJOR_PILOT

    @property
    def level(self) -> PartnerLevel:
        """The partners that run it: Gold for a BC, Platinum for a non-BC update (SD 3)."""
        return PartnerLevel.GOLD if self.compatibility is Compatibility.BC else PartnerLevel.PLATINUM

    @property
    def reasons(self) -> tuple[str, ...]:
        """All reasons; none for a minor, backward-compatible update."""
        return (*self.reasons_for_major, *self.reasons_for_non_bc)


def reasons_for_major(patch: Patch, limits: MinorLimits, found: Iterable[str] = ()) -> tuple[str, ...]:
    """Say why a server update is major; no reasons means it is minor.

    Source: SD 4.1.3, "Minor: The following conditions have to be all true".

    Args:
        patch: `programming_ph` is in person hours, as validated by the Release Manager; None: he has not.
        limits: thresholds from config/policies.yaml.
        found: configuration variables that the packages themselves add, besides what the tracker says.

    Returns:
        One sentence per broken condition, ready for the kick-off mail.
    """
    return (
        *_new_parameters(patch, found),
        *_bug_fixes(patch, limits),
        *_programming(patch, limits),
        *_operational_changes(patch),
    )


def _new_parameters(patch: Patch, found: Iterable[str]) -> Iterable[str]:
    """SD: "no new configuration parameters anywhere (neither in YAIM nor into component-specific ... files)"."""
    if yaim := dict.fromkeys((*patch.new_variables, *found)):
        yield f"It adds the YAIM variables {', '.join(yaim)}."
    if patch.component_parameters:
        names = ", ".join(one_line(name) for name in patch.component_parameters)
        yield f"It adds the parameters {names} to configuration files of its components."


def _bug_fixes(patch: Patch, limits: MinorLimits) -> Iterable[str]:
    """SD: "less than 2 "major" plus 5 "normal" bug fixes (according to the severity assigned by the EMT)"."""
    severities = [bug.severity for bug in patch.bugs]
    # worse than major, so at least that
    major = severities.count(Severity.MAJOR) + severities.count(Severity.CRITICAL)
    normal = severities.count(Severity.NORMAL)
    if major >= limits.major_bugs_below:
        yield f"It fixes {major} major or critical bugs; a minor update fixes fewer than {limits.major_bugs_below}."
    if normal >= limits.normal_bugs_below:
        yield f"It fixes {normal} normal bugs; a minor update fixes fewer than {limits.normal_bugs_below}."


def _programming(patch: Patch, limits: MinorLimits) -> Iterable[str]:
    """SD: "not more than 2 man-days of programming (this assertion has to be validated by the release manager ...)"."""
    if patch.programming_ph is None:
        yield "The Release Manager has not validated how much programming it took."
    elif patch.programming_ph > limits.programming_ph_at_most:
        yield (
            f"It took {patch.programming_ph} person hours of programming; "
            f"a minor update takes at most {limits.programming_ph_at_most}."
        )


def _operational_changes(patch: Patch) -> Iterable[str]:
    """SD: "not significant operational changes are introduced for the service administrators"."""
    if text := one_line(patch.operational_changes):
        yield f"It changes the operation of the service: {text.rstrip('.')}."


def reasons_for_non_bc(patch: Patch) -> tuple[str, ...]:
    """Say why a server update is not backward compatible; no reasons means that it is.

    Source: SD 4.1.3: "updates that are compatible with the existing clients and don't introduce new
    functionalities. No changes in database schema."
    """
    reasons = []
    if patch.database_schema_changed:
        reasons.append("It changes the database schema.")
    if not patch.clients_compatible:
        reasons.append("The existing clients do not work with it.")
    if patch.new_functionality:
        reasons.append("It introduces new functionality.")
    return tuple(reasons)


def judge(patch: Patch, limits: MinorLimits, found: Iterable[str] = ()) -> UpdateVerdict:
    """Minor or major, BC or non-BC, with all reasons; the two questions are independent, as in SD 4.1.4."""
    major, non_bc = reasons_for_major(patch, limits, found), reasons_for_non_bc(patch)
    return UpdateVerdict(
        Size.MAJOR if major else Size.MINOR, Compatibility.NON_BC if non_bc else Compatibility.BC, major, non_bc
    )


#: What SD calls certified software; from then on the state only goes forward.
CERTIFIED = (
    PatchState.CERTIFIED,
    PatchState.READY_FOR_PRODUCTION,
    PatchState.READY_FOR_ROLLOUT,
    PatchState.ROLLING_OUT,
)
_OVER = (PatchState.IN_PRODUCTION, PatchState.REJECTED, PatchState.OBSOLETE)


def reasons_against_pilot(patch: Patch, justification: str = "", *, overruled: bool = False) -> tuple[str, ...]:
    """Say why no pilot of a patch may be asked for; no reasons means that one may.

    Source: SD 4.1.3: "it is recommendable to set up and upgrade the pilot services using only certified software.
    [...] The use of non-certified software in the pilots has however to be justified, documented and recorded".

    Args:
        justification: why software that is not certified is used; needed for such software, and put on record.
        overruled: a joint decision of EMT and coordination stands, which is such a justification.
    """
    reasons = []
    if patch.kind is not PatchKind.SERVER:
        reasons.append("It is a client update: clients are previewed beside the production ones, without a pilot.")
    if patch.state in _OVER:
        reasons.append(f'The patch is "{patch.state}".')
    elif patch.state not in CERTIFIED and not overruled and (why := reasons_against_reason(justification)):
        reasons.append(
            f'The patch is "{patch.state}", not certified, so its use has to be justified. '
            + " ".join(r.replace("The reason", "The justification") for r in why)
        )
    if not patch.packages:
        reasons.append("It names no packages.")
    if not patch.platforms:
        reasons.append("It names no platform.")
    return tuple(reasons)
