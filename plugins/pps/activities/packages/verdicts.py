"""The verdict that stands on a patch, BC or non-BC: the program's, or that of the Release Manager who overruled it.

And what follows from it: path of the preview, reasons against one, what the release notes say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pps.activities.desk import Office
from pps.activities.packages.classification import subject_of
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import clean_text
from pps.domain.clients.updates import (
    ClientVerdict,
    reasons_against_bc_client_preview,
    reasons_against_non_bc_client_preview,
)
from pps.domain.packages.patch import Patch
from pps.domain.packages.yaim import ChangeKind
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath, dossier_name

_REASON_LENGTH = 2000
#: Variables that a refusal names.
_NAMED = 10
_NEW = (
    ChangeKind.NEW_MANDATORY,
    ChangeKind.NEW_MANDATORY_WITH_DEFAULT,
    ChangeKind.NEW_OPTIONAL,
    ChangeKind.PERHAPS_NEW,
)


class Standing(NamedTuple):
    """How a patch is classified now."""

    verdict: ClientVerdict | None
    """None: nobody has classified it"""
    overruled: bool
    reason: str
    """the Release Manager's, or the program's"""


def standing_verdict(dossier: Rollout) -> Standing:
    """The newest word on a patch: the program's, or that of the Release Manager who overruled it.

    An overruling holds for what was found then; other findings after it take its place (ADR 8).
    """
    newest = _newest(dossier)
    if newest is None:
        return Standing(None, False, "")
    verdict = ClientVerdict(newest.payload["verdict"])
    if newest.kind is FactKind.CLASSIFICATION_OVERRULED:
        return Standing(verdict, True, str(newest.payload["reason"]))
    return Standing(verdict, False, " ".join(newest.payload.get("reasons", ())))


def overrule(office: Office, patch: Patch, verdict: ClientVerdict, reason: str) -> tuple[Fact, ...]:
    """The Release Manager's word against the program's; it goes into the release notes, with the reason.

    The same word again records nothing. Returns the facts that were new.

    Raises:
        NotYetAllowedError: nothing has been classified yet, or the patch has changed since.
        RefusedError: there is no reason, or nothing to overrule.
    """
    said = " ".join(clean_text(reason).split())
    if len(said.split()) < 2 or len(said) > _REASON_LENGTH:
        raise RefusedError(
            patch.subject,
            (f"An overruling needs a reason: a sentence of at most {_REASON_LENGTH} characters.",),
            "It will appear in the release notes.",
        )
    dossier = office.facts.dossier(patch.number)
    if (stale := _reason_why_stale(dossier, patch)) or not dossier.has(FactKind.CLASSIFIED):
        raise NotYetAllowedError(
            patch.subject, stale or "is not classified yet.", f"Classify it first: pps classify {patch.number}"
        )
    standing = standing_verdict(dossier)
    if standing.verdict is verdict and (not standing.overruled or standing.reason == said):
        if standing.overruled:
            return ()
        raise RefusedError(patch.subject, (f"It is classified as {verdict} already: nothing to overrule.",))
    number = sum(f.kind is FactKind.CLASSIFICATION_OVERRULED for f in dossier.facts) + 1
    payload = {"verdict": verdict.value, "reason": said}
    name = dossier_name(patch.number)
    return office.facts.record_in_dossier(
        patch.number, Fact(name, FactKind.CLASSIFICATION_OVERRULED, "", str(number), office.now, office.actor, payload)
    )


def found_variables(dossier: Rollout, patch: Patch) -> tuple[str, ...]:
    """Variables that the patch's packages add, as the program found them (SD 4.1.3: "anywhere").

    None if it has not looked, the patch has changed since, or the Release Manager has overruled it as BC: then the
    tracker alone tells.
    """
    return tuple(dict.fromkeys(f["name"] for f in _standing_findings(dossier, patch) if f["kind"] in _NEW))


def required_variables(dossier: Rollout, patch: Patch) -> Mapping[str, str]:
    """Variables without which the patch's packages refuse to be configured -> the file that says so (ADR 16).

    Found by the program, and under the same conditions as `found_variables`.
    """
    return {
        f["name"]: f["file"]
        for f in _standing_findings(dossier, patch)
        if f["kind"] == ChangeKind.NEW_MANDATORY or (f["kind"] == ChangeKind.BECAME_MANDATORY and not f.get("after"))
    }


def _standing_findings(dossier: Rollout, patch: Patch) -> Sequence[Mapping[str, Any]]:
    classified, standing = dossier.the(FactKind.CLASSIFIED), standing_verdict(dossier)
    if classified is None or _reason_why_stale(dossier, patch):
        return ()
    if standing.overruled and standing.verdict is ClientVerdict.BC:
        return ()
    findings: Sequence[Mapping[str, Any]] = classified.payload["findings"]
    return findings


def preview_path(dossier: Rollout, patch: Patch) -> RolloutPath:
    """The path on which a client is previewed: by the verdict on record, else by what the tracker says of variables."""
    verdict = standing_verdict(dossier).verdict
    non_bc = patch.new_variables or patch.changed_variables if verdict is None else verdict is ClientVerdict.NON_BC
    return RolloutPath.NON_BC_CLIENT if non_bc else RolloutPath.BC_CLIENT


def reasons_against_bc(dossier: Rollout, patch: Patch) -> tuple[str, ...]:
    """`domain.updates.reasons_against_bc_client_preview` with the verdict on record."""
    standing = standing_verdict(dossier)
    # The program's BC rests on what the tracker said then; the tracker may be asked again.
    by_program = standing.verdict is ClientVerdict.BC and not standing.overruled
    return (
        *reasons_against_bc_client_preview(patch, None if by_program else standing.verdict),
        *(() if standing.overruled else _perhaps_new(dossier, patch)),
        *_if_stale(dossier, patch),
    )


def _perhaps_new(dossier: Rollout, patch: Patch) -> Iterable[str]:
    """What only a person can tell, and how to say it."""
    unsure = [f["sentence"] for f in _standing_findings(dossier, patch) if f["kind"] == ChangeKind.PERHAPS_NEW]
    yield from unsure[:_NAMED]
    if len(unsure) > _NAMED:
        yield f"And {len(unsure) - _NAMED} more variables are perhaps new: pps classify {patch.number} --no-record"
    if unsure:
        yield (
            "Somebody must say whether sites have to set what is perhaps new. "
            f"If not: pps classify {patch.number} --overrule bc --reason TEXT"
        )


def reasons_against_non_bc(dossier: Rollout, patch: Patch) -> tuple[str, ...]:
    """`domain.updates.reasons_against_non_bc_client_preview` with the verdict on record."""
    verdict = standing_verdict(dossier).verdict
    return (*reasons_against_non_bc_client_preview(patch, verdict), *_if_stale(dossier, patch))


def _if_stale(dossier: Rollout, patch: Patch) -> tuple[str, ...]:
    stale = _reason_why_stale(dossier, patch)
    return (f"The patch {stale} Classify it again: pps classify {patch.number}",) if stale else ()


def _reason_why_stale(dossier: Rollout, patch: Patch) -> str:
    classified = dossier.the(FactKind.CLASSIFIED)
    subject = classified.payload.get("subject") if classified else None
    if subject is None or subject == subject_of(patch):
        return ""
    return "has other packages, variables or configuration notes than when it was classified."


def view(dossier: Rollout | None) -> dict[str, Any] | None:
    """What the release notes show of the classification; None if there is none. No mail address of anybody's."""
    classified = dossier.the(FactKind.CLASSIFIED) if dossier else None
    if dossier is None or classified is None:
        return None
    payload = classified.payload
    findings: Sequence[Mapping[str, Any]] = payload["findings"]
    newest = _newest(dossier)
    overruled = newest if newest and newest.kind is FactKind.CLASSIFICATION_OVERRULED else None
    return {
        "verdict": standing_verdict(dossier).verdict,
        "program": ClientVerdict(payload["verdict"]),
        "compared_with": list(payload["compared_with"]),
        "changes": [str(finding["sentence"]) for finding in findings],
        "more": int(payload.get("findings_in_all", len(findings))) - len(findings),
        "overruled": {
            "by": overruled.actor.partition("@")[0],
            "at": overruled.at,
            "reason": str(overruled.payload["reason"]),
        }
        if overruled
        else None,
    }


def _newest(dossier: Rollout) -> Fact | None:
    kinds = (FactKind.CLASSIFIED, FactKind.CLASSIFICATION_OVERRULED)
    return next((f for f in reversed(dossier.facts) if f.kind in kinds), None)
