"""`pps overrule`: ask EMT and coordination to overrule the policies for one patch (SD 4.1.3)."""

from __future__ import annotations

from typing import Annotated

import typer

from pps.cli import output
from pps.cli.front import front
from pps.cli.packages.patches import PatchNumber
from pps.domain.people.overruling import Urgency
from pps.workflow.paths import OVERRULE


def overrule(
    ctx: typer.Context,
    patch: PatchNumber,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why the policies cannot be kept; it is published.", show_default=False)
    ],
    urgency: Annotated[
        Urgency,
        typer.Option(
            case_sensitive=False,
            help="urgent: to preview and production together. high priority: straight to production, then the preview.",
        ),
    ] = Urgency.URGENT,
    as_json: output.Json = False,
) -> None:
    """Ask for a joint decision of EMT and PPS coordination: a critical bug, or a vulnerability.

    Both must agree, by two people (pps tasks). From then on no run for this patch waits for feedback, certification
    or deployment test. Release notes and bulletin show who decided, and why.
    """
    here = front(ctx)
    run = here.airflow.trigger(OVERRULE, {"patch": patch, "urgency": urgency.value, "reason": reason})
    if as_json:
        return output.say_json({"request": run, "dag_id": OVERRULE, "run_id": run})
    return output.say(f"EMT and coordination are asked ({run}).", "See what waits: pps tasks list")
