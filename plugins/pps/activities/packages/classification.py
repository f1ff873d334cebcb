"""BC or non-BC client: what the patch's packages say of their own configuration, against production (SD 4.1.1, 4.1.2).

The program compares; what it finds is a fact of the patch's dossier. What the Release Manager says to it: `verdicts`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pps.activities.desk import Office
from pps.activities.packages.advice import note_advice
from pps.activities.packages.configuration_files import ConfigurationFiles
from pps.activities.ports.packages import (
    IndexedPackage,
    PackageReader,
    PackageRepositories,
    ProductionRepositories,
    TarballLimits,
)
from pps.domain.base.errors import NotYetAllowedError, PackageError
from pps.domain.base.texts import one_line
from pps.domain.clients.updates import ClientVerdict, classify_client
from pps.domain.packages.patch import PackageRef, Patch, PatchState
from pps.domain.packages.yaim import YaimChange, YaimTree, compare
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import dossier_name

#: The most that one fact keeps; the numbers beside them count all.
FINDINGS_AT_MOST = 200
REASONS_AT_MOST = 50

#: Findings that come from the tracker instead of a file of a package.
TRACKER = "tracker"


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
        """Digest of all that it says: the same finding is recorded once."""
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
    office: Office,
    patch: Patch,
    *,
    repositories: PackageRepositories,
    production: ProductionRepositories,
    reader: PackageReader,
    limits: TarballLimits,
    workdir: Path,
) -> Classification:
    """Classify a patch by its packages, and record it in the patch's dossier; see `examine`.

    What is found again as it stands on record is not recorded again, so an overruling of it stays. Anything
    else that is found takes the place of both.
    """
    found = examine(
        patch, repositories=repositories, production=production, reader=reader, limits=limits, workdir=workdir
    )
    note_advice(office, patch)
    record(office, patch.number, found)
    return found


def record(office: Office, number: int, found: Classification) -> None:
    """Put on record what was found; what stands there already is not recorded again."""
    dossier = office.facts.dossier(number)
    newest = dossier.the(FactKind.CLASSIFIED)
    if newest is None or newest.occasion.partition(".")[0] != found.digest:
        same = sum(
            f.kind is FactKind.CLASSIFIED and f.occasion.partition(".")[0] == found.digest for f in dossier.facts
        )
        # found, then something else, then this again: a further occasion, or the record would keep the other one
        occasion = f"{found.digest}.{same + 1}" if same else found.digest
        office.facts.record_in_dossier(
            number,
            Fact(dossier_name(number), FactKind.CLASSIFIED, "", occasion, office.now, office.actor, found.payload),
        )
