"""`pps follow`: hear of what is new of a patch, a product or a site; by mail, and in a feed of one's own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from pps.cli import output
from pps.cli.front import front, group

app = group("Hear of what is new of a patch, a product or a site.")

What = Annotated[
    str, typer.Argument(metavar="WHAT", help="patch:<number>, product:<metapackage> or site:<name>, e.g. patch:4711.")
]


@app.command("list")
def list_followed(ctx: typer.Context, as_json: output.Json = False) -> None:
    """List what the user of PPS_AIRFLOW_USER follows, and the address of their own feed."""
    _say(front(ctx).get("following", {}, about="what you follow"), as_json=as_json)


@app.command()
def add(ctx: typer.Context, what: What, as_json: output.Json = False) -> None:
    """Follow something; doing so twice changes nothing."""
    _say(_changed(ctx, "follow", what), as_json=as_json)


@app.command()
def end(ctx: typer.Context, what: What, as_json: output.Json = False) -> None:
    """Follow something no longer."""
    _say(_changed(ctx, "end", what), as_json=as_json)


def _changed(ctx: typer.Context, do: str, what: str) -> dict[str, Any]:
    return front(ctx).post("following", {"do": do, "what": what}, about=what)


def _say(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return output.say_json(found)
    rows = [(t["what"], output.moment(datetime.fromisoformat(t["since"]))) for t in found["following"]]
    output.say(output.table(("WHAT", "SINCE"), rows) if rows else f"{found['user']} follows nothing.")
    mails = f"Mails go to {found['mails_to']}." if found["mails_to"] else "The account has no mail address: no mails."
    return output.say(mails, f"Feed (for you alone): {found['feed']}")
