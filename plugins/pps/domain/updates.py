"""Which path an update may take, and why not (SD 4.1.1)."""

from __future__ import annotations

from pps.domain.patches import Patch, PatchState
from pps.domain.scenarios import DeploymentOutcome, DeploymentVerdict
from pps.domain.sites import Platform


def reasons_against_bc_client_preview(patch: Patch) -> tuple[str, ...]:
    """Say why a patch may not be distributed as a backward-compatible client; no reasons means it may.

    Source: SD 4.1.1: "the software must have passed a first round of basic certification tests",
    `Status="In certification"`, "no variables are to be changed and no new variables are added".
    Asked once, when the rollout starts: the answer is a fact and outlives the patch's next state.
    """
    reasons = []
    if patch.state is not PatchState.IN_CERTIFICATION:
        reasons.append(f'The patch is "{patch.state}", not "{PatchState.IN_CERTIFICATION}".')
    if not patch.basic_certification_passed:
        reasons.append("SA3 has not flagged the patch as having passed basic certification.")
    if patch.new_variables:
        reasons.append(f"It adds the configuration variables {', '.join(patch.new_variables)}.")
    if patch.changed_variables:
        reasons.append(f"It changes the configuration variables {', '.join(patch.changed_variables)}.")
    if not patch.packages:
        reasons.append("It names no packages.")
    if not patch.platforms:
        reasons.append("It names no platform.")
    return tuple(reasons)


def reasons_against_production(patch: Patch, deployment: DeploymentVerdict | None = None) -> tuple[str, ...]:
    """Say why a certified patch may not go to production now; no reasons means that it may.

    Source: SD 4.1.1, last paragraph: "if the release notes are confirmed not to contain any
    special configuration information, and limited to the platforms on which an installation test
    was done in certification". SD 4.1.2: otherwise "pre-deployment test of release notes is needed".

    Args:
        deployment: how the patch's newest pre-deployment test ended; None: it has had none.
    """
    reasons = []
    if patch.state not in (PatchState.CERTIFIED, PatchState.READY_FOR_PRODUCTION, PatchState.IN_PRODUCTION):
        reasons.append(f'The patch is "{patch.state}", not "{PatchState.CERTIFIED}".')
    if deployment is not None and deployment.outcome is not DeploymentOutcome.PASSED:
        reasons += [f'The outcome of its pre-deployment test is "{deployment.outcome}".', *deployment.reasons]
    elif deployment is not None and not platforms_for_production(patch, deployment):
        reasons.append("Its pre-deployment test has passed on no platform that the patch still names.")
    elif deployment is None:
        if patch.special_configuration.strip():
            reasons.append("The release notes contain special configuration, so a pre-deployment test is needed.")
        if patch.new_variables or patch.changed_variables:
            reasons.append("Configuration variables are new or changed, so a pre-deployment test is needed.")
        if not platforms_for_production(patch):
            reasons.append("Certification did no installation test on any platform of the patch.")
    return tuple(reasons)


def platforms_for_production(patch: Patch, deployment: DeploymentVerdict | None = None) -> tuple[Platform, ...]:
    """The platforms of the patch for which it may be released, in order.

    Those that passed its pre-deployment test, if it has had one (SD 4.1.2, 4.2.2); else those on which
    certification did an installation test (SD 4.1.1).
    """
    tested = patch.install_tested if deployment is None else deployment.platforms
    return tuple(sorted(set(patch.platforms) & set(tested)))
