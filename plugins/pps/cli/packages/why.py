"""`pps why`: every condition between a patch and production."""

from __future__ import annotations

from datetime import datetime

import typer

from pps.cli import output
from pps.cli.front import front
from pps.cli.packages.patches import PatchNumber
from pps.domain.record.halts import halt_of
from pps.workflow.why import ask_tracker, public_view
from pps.workflow.why import why as answer_for


def why(ctx: typer.Context, patch: PatchNumber, as_json: output.Json = False) -> None:
    """Say why a patch is still where it is: what is met, what it waits for, who can act, until when.

    It is what the page of the patch shows to anybody.
    """
    here = front(ctx)
    services = here.services
    told = ask_tracker(services.tracker, patch)
    found = answer_for(services.facts, patch, told, services.config.policies, here.now())
    view = public_view(found)
    if as_json:
        return output.say_json(view)
    lines: list[tuple[str, object]] = [
        ("patch", f"{patch} ({view['metapackage']} {view['software_version']})"),
        ("title", view["title"] or "-"),
        ("state", view["state"] or view["tracker"]),
        ("in the tracker", view["tracker_page"] or "-"),
        ("answer", view["answer"]),
    ]
    halts = [halt for record in found.records.values() if (halt := halt_of(record))]
    lines += [("failed", halt.sentence) for halt in halts]  # not for anybody: it may quote a site
    output.say(output.pairs(lines), "")
    rows = [
        (c["name"], c["state"], f"{c['sentence']}{f' Who can act: {who}.' if (who := ', '.join(c['who'])) else ''}")
        for c in view["conditions"]
    ]
    output.say(output.table(("CONDITION", "STATE", "IN WORDS"), rows))
    if decisions := [e for e in view["events"] if e["is_decision"]]:
        decided = [(output.moment(datetime.fromisoformat(e["at"])), e["what"]) for e in decisions]
        output.say(output.table(("DECIDED", "WHAT"), decided))
    return None
