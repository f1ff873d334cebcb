"""Which path an update may take, and why not (SD 4.1.1, 4.1.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from pps.domain.packages.patch import Patch, PatchKind, PatchState
from pps.domain.packages.yaim import ChangeKind, YaimChange
from pps.domain.quality.scenarios import DeploymentOutcome, DeploymentVerdict
from pps.domain.sites.site import Platform


class ClientVerdict(StrEnum):
    """What kind of client update a patch is. Stored: never rename."""

    BC = "bc"
    """fully backward compatible (SD 4.1.1)"""
    NON_BC = "non-bc"
    """interventions on the environment or extra configuration are needed (SD 4.1.2)"""


#: A site that does nothing keeps working as before (ADR 8).
_HARMLESS = (ChangeKind.DROPPED, ChangeKind.BECAME_OPTIONAL, ChangeKind.NEW_NODE)


def asks_for_an_intervention(change: YaimChange) -> bool:
    """Tell whether a difference in the configuration makes a client update non-backward compatible.

    Source: SD 4.1.1: "no variables (e.g. YAIM variables) are to be changed and no new variables are
    added to configuration"; SD 4.1.2: "interventions on the environment or extra configuration". ADR 8 says
    how we read them where they say nothing.
    """
    if change.kind is ChangeKind.BECAME_MANDATORY:
        return not change.after
    return change.kind not in _HARMLESS


def classify_client(
    changes: Iterable[YaimChange],
    special_configuration: str,
    *,
    new_variables: Collection[str] = (),
    changed_variables: Collection[str] = (),
) -> tuple[ClientVerdict, tuple[str, ...]]:
    """Say whether a client update is backward compatible, and why not; no reasons means that it is.

    Source: SD 4.1.1, definition, and "Empty set of configuration instructions in release notes".

    Args:
        changes: what the packages' own configuration says (`yaim.compare`).
        special_configuration: configuration section of the release notes.
        new_variables: as the developers named them in the tracker; they count like those of the packages.
        changed_variables: in the same way.
    """
    reasons = [change.sentence for change in changes if asks_for_an_intervention(change)]
    reasons += [f"Variable {name} is new (tracker)." for name in new_variables]
    reasons += [f"Variable {name} is to be changed (tracker)." for name in changed_variables]
    if special_configuration.strip():
        reasons.append("The configuration section of the release notes is not empty.")
    return (ClientVerdict.NON_BC if reasons else ClientVerdict.BC), tuple(reasons)


def reasons_against_bc_client_preview(patch: Patch, verdict: ClientVerdict | None = None) -> tuple[str, ...]:
    """Say why a patch may not be distributed as a backward-compatible client; no reasons means it may.

    Source: SD 4.1.1: "the software must have passed a first round of basic certification tests",
    `Status="In certification"`, "no variables are to be changed and no new variables are added".
    Asked once, when the rollout starts: the answer is a fact and outlives the patch's next state.

    Args:
        verdict: how it is classified. BC comes before what the tracker says of variables: the Release
            Manager has looked at them. None: nobody has classified it, so the tracker alone decides.
    """
    reasons = list(_reasons_against_certification(patch))
    if verdict is ClientVerdict.NON_BC:
        reasons.append("It is classified as non-backward compatible: its preview is that of SD 4.1.2.")
    if verdict is not ClientVerdict.BC:
        if patch.new_variables:
            reasons.append(f"It adds the configuration variables {', '.join(patch.new_variables)}.")
        if patch.changed_variables:
            reasons.append(f"It changes the configuration variables {', '.join(patch.changed_variables)}.")
    return (*reasons, *_reasons_against_content(patch))


def reasons_against_non_bc_client_preview(patch: Patch, verdict: ClientVerdict | None = None) -> tuple[str, ...]:
    """Say why a patch may not be distributed as a non-backward-compatible client; no reasons means it may.

    Source: SD 4.1.2: "the way this use case works is exactly the same as the previous one", with
    local configuration at the sites. A client that needs none would only keep them waiting.

    Args:
        verdict: how it is classified. None: nobody has classified it, so the tracker alone decides.
    """
    reasons = list(_reasons_against_certification(patch))
    configured = patch.new_variables or patch.changed_variables or patch.special_configuration.strip()
    if verdict is ClientVerdict.BC:
        reasons.append("It is classified as backward compatible: its preview is that of SD 4.1.1.")
    elif verdict is None and not configured:
        reasons.append(
            "Nothing says that it needs configuration: its preview is that of SD 4.1.1, unless it is classified first."
        )
    return (*reasons, *_reasons_against_content(patch))


def _reasons_against_certification(patch: Patch) -> Iterable[str]:
    if patch.state is not PatchState.IN_CERTIFICATION:
        yield f'The patch is "{patch.state}", not "{PatchState.IN_CERTIFICATION}".'
    if not patch.basic_certification_passed:
        yield "SA3 has not flagged the patch as having passed basic certification."


def _reasons_against_content(patch: Patch) -> Iterable[str]:
    if patch.kind is PatchKind.SERVER:
        yield "It is a server update: it goes out through a pilot (SD 4.1.3)."
    if not patch.packages:
        yield "It names no packages."
    if not patch.platforms:
        yield "It names no platform."


def reasons_against_production(
    patch: Patch,
    deployment: DeploymentVerdict | None = None,
    *,
    verdict: ClientVerdict | None = None,
    overruled: bool = False,
) -> tuple[str, ...]:
    """Say why a certified patch may not go to production now; no reasons means that it may.

    Source: SD 4.1.1, last paragraph: "if the release notes are confirmed not to contain any
    special configuration information, and limited to the platforms on which an installation test
    was done in certification". SD 4.1.2: otherwise "pre-deployment test of release notes is needed".

    Args:
        deployment: how the patch's newest pre-deployment test ended; None: it has had none.
        verdict: how it is classified. BC comes before what the tracker says of variables, as in admission.
        overruled: EMT and PPS coordination have decided that these rules do not hold (SD 4.1.3).
    """
    if overruled:
        dead = patch.state in (PatchState.REJECTED, PatchState.OBSOLETE)
        return (f'The patch is "{patch.state}"; a joint decision does not bring it back.',) if dead else ()
    return (*reasons_against_state(patch), *reasons_against_deployment(patch, deployment, verdict=verdict))


def reasons_against_state(patch: Patch) -> tuple[str, ...]:
    """The part of `reasons_against_production` that certification decides."""
    if patch.state in (PatchState.CERTIFIED, PatchState.READY_FOR_PRODUCTION, PatchState.IN_PRODUCTION):
        return ()
    return (f'The patch is "{patch.state}", not "{PatchState.CERTIFIED}".',)


def reasons_against_deployment(
    patch: Patch, deployment: DeploymentVerdict | None = None, *, verdict: ClientVerdict | None = None
) -> tuple[str, ...]:
    """The part of `reasons_against_production` that deployment tests decide, or certification's installation tests."""
    if deployment is not None and deployment.outcome is not DeploymentOutcome.PASSED:
        return (f'The outcome of its pre-deployment test is "{deployment.outcome}".', *deployment.reasons)
    if deployment is not None:
        if platforms_for_production(patch, deployment):
            return ()
        return ("Its pre-deployment test has passed on no platform that the patch still names.",)
    reasons = []
    if patch.special_configuration.strip():
        reasons.append("The release notes contain special configuration, so a pre-deployment test is needed.")
    if verdict is ClientVerdict.NON_BC:
        reasons.append("It is classified as non-backward compatible, so a pre-deployment test is needed.")
    elif verdict is None and (patch.new_variables or patch.changed_variables):
        reasons.append("Configuration variables are new or changed, so a pre-deployment test is needed.")
    if not platforms_for_production(patch):
        reasons.append("Certification did no installation test on any platform of the patch.")
    return tuple(reasons)


def platforms_for_production(
    patch: Patch, deployment: DeploymentVerdict | None = None, *, overruled: bool = False
) -> tuple[Platform, ...]:
    """The platforms of the patch for which it may be released, in order.

    Those that passed its pre-deployment test, if it has had one (SD 4.1.2, 4.2.2); else those on which
    certification did an installation test (SD 4.1.1). An overruled patch (SD 4.1.3) that was tested
    nowhere goes out for all of its platforms.
    """
    tested = patch.install_tested if deployment is None else deployment.platforms
    found = tuple(sorted(set(patch.platforms) & set(tested)))
    return tuple(sorted(patch.platforms)) if overruled and not found else found
