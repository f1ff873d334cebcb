"""BC or non-BC client: what the patch's packages say of their own configuration, against production (SD 4.1.1, 4.1.2).

The program compares; the Release Manager may overrule it with a reason. Both are facts of the patch's dossier.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pps.activities.packages.configuration_files import ConfigurationFiles
from pps.activities.ports.packages import (
    IndexedPackage,
    PackageReader,
    PackageRepositories,
    ProductionRepositories,
    TarballLimits,
)
from pps.activities.ports.record import Facts
from pps.domain.base.errors import NotYetAllowedError, PackageError, RefusedError
from pps.domain.base.texts import clean_text, one_line
from pps.domain.clients.updates import (
    ClientVerdict,
    classify_client,
    reasons_against_bc_client_preview,
    reasons_against_non_bc_client_preview,
)
from pps.domain.packages.patch import PackageRef, Patch, PatchState
from pps.domain.packages.yaim import ChangeKind, YaimChange, YaimTree, compare
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath, dossier_name

#: Most that one fact keeps; the numbers beside them are of all.
FINDINGS_AT_MOST = 200
REASONS_AT_MOST = 50
_REASON_LENGTH = 2000
#: Variables that a refusal names.
_NAMED = 10

#: Findings that come from the tracker instead of a file of a package.
TRACKER = "tracker"
_NEW = (
    ChangeKind.NEW_MANDATORY,
    ChangeKind.NEW_MANDATORY_WITH_DEFAULT,
    ChangeKind.NEW_OPTIONAL,
    ChangeKind.PERHAPS_NEW,
)


@dataclass(frozen=True, slots=True)
class Classification:
    """What the program says of a patch."""

    verdict: ClientVerdict
    changes: tuple[YaimChange, ...]
    """what the packages say"""
    new_variables: tuple[str, ...]
    """what the tracker says"""
    changed_variables: tuple[str, ...]
    compared_with: tuple[str, ...]
    """one sentence for each package with YAIM files, and one for all others"""
    reasons: tuple[str, ...]
    """why it is non-BC; none if it is BC"""
    subject: str
    """digest of what was looked at in the tracker"""

    @property
    def findings(self) -> list[dict[str, str | None]]:
        """Every new, changed and dropped variable with the file that says so; the tracker's own last."""
        return [
            *(_from_packages(change) for change in self.changes),
            *(_from_tracker(name, "new", f"Variable {name} is new (tracker).") for name in self.new_variables),
            *(
                _from_tracker(name, "changed", f"Variable {name} is to be changed (tracker).")
                for name in self.changed_variables
            ),
        ]

    @property
    def payload(self) -> dict[str, Any]:
        """The fact's payload: small, whatever the packages hold."""
        findings = [{key: _cut(value) for key, value in finding.items()} for finding in self.findings]
        return {
            "verdict": self.verdict.value,
            "findings": findings[:FINDINGS_AT_MOST],
            "findings_in_all": len(findings),
            "compared_with": [one_line(text, 300) for text in self.compared_with[:FINDINGS_AT_MOST]],
            "reasons": [one_line(reason, 600) for reason in self.reasons[:REASONS_AT_MOST]],
            "subject": self.subject,
        }

    @property
    def digest(self) -> str:
        """Digest of all that it says: the same twice is once."""
        whole = [self.verdict.value, self.findings, self.compared_with, self.reasons, self.subject]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def _from_packages(change: YaimChange) -> dict[str, str | None]:
    return {
        "name": change.name,
        "kind": change.kind.value,
        "file": change.place,
        "before": change.before,
        "after": change.after,
        "sentence": change.sentence,
    }


def _from_tracker(name: str, kind: str, sentence: str) -> dict[str, str | None]:
    return {"name": name, "kind": kind, "file": TRACKER, "before": None, "after": None, "sentence": sentence}


def _cut(value: str | None) -> str | None:
    return None if value is None else one_line(value, 400)


def subject_of(patch: Patch) -> str:
    """Digest of all fields of a patch that a classification depends on."""
    whole = [
        sorted(map(str, (*patch.packages, *patch.externals))),
        sorted(patch.new_variables),
        sorted(patch.changed_variables),
        patch.special_configuration.strip(),
    ]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]


# --- the program -----------------------------------------------------------------------------


def examine(
    patch: Patch,
    *,
    repositories: PackageRepositories,
    production: ProductionRepositories,
    reader: PackageReader,
    limits: TarballLimits,
    workdir: Path,
) -> Classification:
    """Compare the configuration of the patch's packages with that of the versions in production; records nothing.

    A package that production does not have counts as one without configuration. Packages are read one
    at a time, and only their YAIM files; nothing of theirs is unpacked to the disk, or run.

    Args:
        limits: for the patch's packages together, and again for those of production.
        workdir: with room for the largest package.

    Raises:
        NotYetAllowedError: the patch is in production already, so it would be compared with itself.
        PackageError: packages or repository are wrong; `HostileArchiveError` beyond the limits.
    """
    if patch.state is PatchState.IN_PRODUCTION:
        raise NotYetAllowedError(
            patch.subject, "is in production already: it would be compared with itself.", "Look at its release notes."
        )
    refs = tuple(dict.fromkeys((*patch.packages, *patch.externals)))
    repository = repositories.open(patch.repository)
    indexed = repository.resolve(refs)
    if (total := sum(p.size for p in indexed)) > limits.package_bytes_at_most:
        raise PackageError(
            patch.subject,
            f"has {total} bytes of packages; {limits.package_bytes_at_most} are allowed.",
            "See policies.yaml, tarball.",
        )
    ours = production.open(patch.repository.kind)
    in_production = ours.newest(refs)
    folder = workdir / "classification"
    update, old = ConfigurationFiles(reader, limits, folder), ConfigurationFiles(reader, limits, folder)
    compared: list[str] = []
    for package in indexed:
        before = in_production.get(package.ref)
        found = update.add(package, repository.fetch)
        if before is not None and before.sha256 == package.sha256:
            old.take(found)
            found_before = found
        else:
            found_before = old.add(before, ours.fetch) if before is not None else {}
        if found or found_before:
            compared.append(_compared(package.ref, before))
    changes = compare(YaimTree.read(old.texts), YaimTree.read(update.texts))
    verdict, reasons = classify_client(
        changes,
        patch.special_configuration,
        new_variables=patch.new_variables,
        changed_variables=patch.changed_variables,
    )
    return Classification(
        verdict,
        changes,
        patch.new_variables,
        patch.changed_variables,
        (*compared, *_without(len(indexed) - len(compared))),
        reasons,
        subject_of(patch),
    )


def _compared(ref: PackageRef, before: IndexedPackage | None) -> str:
    if before is None:
        return f"{ref}: no version in production to compare with."
    if before.ref == ref:
        return f"{ref}: the same version is in production."
    return f"{ref}: compared with {before.ref}, in production."


def _without(number: int) -> Iterable[str]:
    if number:
        what = "1 package has" if number == 1 else f"{number} packages have"
        yield f"{what} no YAIM configuration, neither now nor in production."


def classify(
    facts: Facts,
    patch: Patch,
    *,
    repositories: PackageRepositories,
    production: ProductionRepositories,
    reader: PackageReader,
    limits: TarballLimits,
    workdir: Path,
    now: datetime,
    actor: str,
) -> Classification:
    """Classify a patch by its packages, and record it in the patch's dossier; see `examine`.

    What is found again as it stands on record is not recorded again, so an overruling of it stays. Anything
    else that is found takes the place of both.
    """
    found = examine(
        patch, repositories=repositories, production=production, reader=reader, limits=limits, workdir=workdir
    )
    dossier = facts.dossier(patch.number)
    newest = dossier.the(FactKind.CLASSIFIED)
    if newest is None or newest.occasion.partition(".")[0] != found.digest:
        same = sum(
            f.kind is FactKind.CLASSIFIED and f.occasion.partition(".")[0] == found.digest for f in dossier.facts
        )
        # found, then something else, then this again: a further occasion, or the record would keep the other one
        occasion = f"{found.digest}.{same + 1}" if same else found.digest
        facts.record_in_dossier(
            patch.number,
            Fact(dossier_name(patch.number), FactKind.CLASSIFIED, "", occasion, now, actor, found.payload),
        )
    return found


# --- people ----------------------------------------------------------------------------------


class Standing(NamedTuple):
    """How a patch stands classified."""

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


def overrule(
    facts: Facts, patch: Patch, verdict: ClientVerdict, reason: str, now: datetime, actor: str
) -> tuple[Fact, ...]:
    """The Release Manager's word against the program's; it stands in the release notes, with the reason.

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
            "It will stand in the release notes.",
        )
    dossier = facts.dossier(patch.number)
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
    return facts.record_in_dossier(
        patch.number, Fact(name, FactKind.CLASSIFICATION_OVERRULED, "", str(number), now, actor, payload)
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


# --- what follows from it ----------------------------------------------------------------------


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
