"""`pps classify`: does a client update need configuration at the sites, and who says so."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pps.activities.packages import classification, verdicts
from pps.activities.packages.classification import Classification
from pps.activities.packages.verdicts import Standing, standing_verdict
from pps.cli import output
from pps.cli.front import Front, front
from pps.cli.packages.patches import PatchNumber
from pps.domain.clients.updates import ClientVerdict
from pps.domain.packages.patch import Patch
from pps.domain.record.facts import FactKind

_WORDS = {
    ClientVerdict.BC: "bc: backward compatible, as in SD 4.1.1",
    ClientVerdict.NON_BC: "non-bc: needs configuration at the sites, as in SD 4.1.2",
}


def classify(
    ctx: typer.Context,
    patch: PatchNumber,
    overrule: Annotated[
        ClientVerdict | None, typer.Option(help="The Release Manager's verdict instead; needs --reason.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it will be in the release notes.")] = "",
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Put the result on record, or only look.")
    ] = True,
    as_json: output.Json = False,
) -> None:
    """Compare the configuration of a patch's packages with production: BC or non-BC client (SD 4.1.1, 4.1.2).

    Lists every new, changed and dropped variable with the file that says so.
    """
    if (overrule is None) != (not reason.strip()):
        raise typer.BadParameter("--overrule and --reason belong together.")
    if overrule and not record:
        raise typer.BadParameter("An overruling is always on record; leave --no-record out.")
    here = front(ctx)
    facts = here.services.facts
    known = here.services.patch(patch)
    found: Classification | None = None
    if overrule is None or not (here.is_far or facts.dossier(patch).has(FactKind.CLASSIFIED)):
        found = _look(here, known, record=record)
    if overrule is not None and here.is_far:
        said = {"verdict": overrule.value, "reason": reason}
        here.post(f"patches/{patch}/overruling", said, about=known.subject)
    elif overrule is not None:
        verdicts.overrule(here.office(), known, overrule, reason)
    standing = standing_verdict(facts.dossier(patch))
    if as_json:
        data = {"patch": patch, "recorded": record, "standing": standing._asdict() if standing.verdict else None}
        program = {"program": {**found.payload, "findings": found.findings} if found else None}
        return output.say_json(data | program)
    if found is not None:
        _show(known, found)
    return output.say(*_last_words(standing, patch, found=found, record=record))


def _look(here: Front, patch: Patch, *, record: bool) -> Classification:
    services = here.services
    with tempfile.TemporaryDirectory(prefix="pps-classify-") as folder:
        limits = services.config.policies.tarball.to_port()
        if record:
            return classification.classify(
                here.office(),
                patch,
                repositories=services.repositories,
                production=services.production_packages,
                reader=services.package_reader,
                limits=limits,
                workdir=Path(folder),
            )
        return classification.examine(
            patch,
            repositories=services.repositories,
            production=services.production_packages,
            reader=services.package_reader,
            limits=limits,
            workdir=Path(folder),
        )


def _show(patch: Patch, found: Classification) -> None:
    output.say(
        output.pairs(
            [
                ("patch", patch.subject),
                ("verdict", _WORDS[found.verdict]),
                *(("because" if n == 0 else "", f"- {reason}") for n, reason in enumerate(found.reasons)),
                *(("compared" if n == 0 else "", f"- {text}") for n, text in enumerate(found.compared_with)),
            ]
        )
    )
    if not found.findings:
        return output.say("", "No variable is new, changed or dropped.")
    rows = [(f["name"], f["kind"], _default(f["before"], f["after"]), f["file"]) for f in found.findings]
    return output.say("", output.table(("VARIABLE", "CHANGE", "DEFAULT", "FILE"), rows))


def _default(before: str | None, after: str | None) -> str:
    if before == after:
        return after or "-"
    return f"{before or '-'} -> {after or '-'}"


def _last_words(standing: Standing, patch: int, *, found: Classification | None, record: bool) -> tuple[str, ...]:
    if standing.overruled:
        return ("", f"The Release Manager says {standing.verdict}: {standing.reason}")
    if not record:
        return ("", "Only looked: nothing was recorded.")
    other = next(v for v in ClientVerdict if v is not (found.verdict if found else standing.verdict))
    return ("", f"On record. To overrule it: pps classify {patch} --overrule {other} --reason TEXT")
