"""`pps patches`: what the tracker holds, and whether it may go out as a preview."""

from __future__ import annotations

from typing import Annotated

import typer

from pps.activities.packages.verdicts import Standing, reasons_against_bc, standing_verdict
from pps.cli import output
from pps.cli.front import Front, front, group
from pps.domain.clients.updates import reasons_against_production
from pps.domain.packages.patch import Patch, PatchState

app = group("The patches in the tracker, and whether they may go out.")

PatchNumber = Annotated[
    int, typer.Argument(metavar="PATCH", min=1, max=999_999_999, help="Number of the patch in the tracker.")
]


def verdict(here: Front, patch: Patch) -> str:
    """One word for the table."""
    if patch.state is not PatchState.IN_CERTIFICATION:  # most are not; their dossiers need not be read
        return "refused"
    return "refused" if reasons_against_bc(here.services.facts.dossier(patch.number), patch) else "admitted"


@app.command("list")
def list_patches(
    ctx: typer.Context,
    state: Annotated[PatchState | None, typer.Option(case_sensitive=False, help="Only patches in this state.")] = None,
    as_json: output.Json = False,
) -> None:
    """List the patches, newest first; PREVIEW says whether the rules admit them as previews."""
    here = front(ctx)
    patches = here.services.patches(state)
    if as_json:
        return output.say_json([{**output.to_data(p), "preview": verdict(here, p)} for p in patches])
    if not patches:
        return output.say("No patches." if state is None else f'No patches that are "{state}".')
    rows = [(p.number, p.state, verdict(here, p), f"{p.metapackage} {p.version}", p.title) for p in patches]
    return output.say(output.table(("PATCH", "STATE", "PREVIEW", "CLIENT", "TITLE"), rows))


@app.command()
def show(ctx: typer.Context, patch: PatchNumber, as_json: output.Json = False) -> None:
    """Show one patch, and what the rules say of it."""
    services = front(ctx).services
    found = services.patch(patch)
    dossier = services.facts.dossier(patch)
    against, against_production = reasons_against_bc(dossier, found), reasons_against_production(found)
    standing = standing_verdict(dossier)
    if as_json:
        rules = {
            "classification": standing._asdict() if standing.verdict else None,
            "reasons_against_preview": against,
            "reasons_against_production": against_production,
        }
        return output.say_json({**output.to_data(found), **output.to_data(rules)})
    output.say(
        output.pairs(
            [
                ("patch", found.number),
                ("title", found.title),
                ("client", f"{found.metapackage} {found.version}"),
                ("state", found.state),
                ("in the tracker", services.tracker.page(patch)),
                ("basic certification", "passed" if found.basic_certification_passed else "not flagged by SA3"),
                ("platforms", ", ".join(map(str, found.platforms)) or "-"),
                ("install-tested on", ", ".join(map(str, found.install_tested)) or "-"),
                ("repository", f"{found.repository.kind} {found.repository.url}"),
                ("packages", ", ".join(map(str, found.packages)) or "-"),
                ("externals", f"{len(found.externals)} packages"),
                ("new variables", ", ".join(found.new_variables) or "none"),
                ("changed variables", ", ".join(found.changed_variables) or "none"),
                ("special configuration", found.special_configuration.strip() or "none"),
                ("closes", ", ".join(map(str, found.cves)) or "no vulnerability"),
                ("others (VEX)", ", ".join(f"{i.cve} {i.in_words}" for i in found.vex) or "nothing is said"),
                ("embargo", output.moment(found.embargo_until) if found.embargo_until else "none"),
                ("classified", _classified(standing, patch)),
            ]
        )
    )
    if found.bugs:
        rows = [(b.number, b.severity, b.originator, b.title) for b in found.bugs]
        output.say(output.table(("BUG", "SEVERITY", "ORIGINATOR", "TITLE"), rows))
    if found.test_cases:
        output.say(output.table(("TEST CASE", "TITLE"), [(c.name, c.title) for c in found.test_cases]))
    if found.release_notes.strip():
        output.say("", "Release notes of the developers:", found.release_notes.strip())
    output.say("", *_sentences("As a preview", against), *_sentences("To production", against_production))
    return None


def _classified(standing: Standing, number: int) -> str:
    if standing.verdict is None:
        return f"not yet; see: pps classify {number}"
    return f"{standing.verdict}, overruled: {standing.reason}" if standing.overruled else str(standing.verdict)


def _sentences(what: str, reasons: tuple[str, ...]) -> tuple[str, ...]:
    if not reasons:
        return (f"{what}: admitted.",)
    return (f"{what}: refused, because", *(f"  - {reason}" for reason in reasons))
