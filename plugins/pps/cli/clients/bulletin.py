"""`pps bulletin`: which version is where, now."""

from __future__ import annotations

import typer

from pps.activities.clients.standing import public_view
from pps.cli import output
from pps.cli.front import front, group
from pps.domain.record.rollouts import PREVIEWS

app = group("The release bulletin: which version is at which site, now.")


@app.command()
def show(ctx: typer.Context, as_json: output.Json = False) -> None:
    """Show the bulletin as the facts tell it at this moment."""
    facts = front(ctx).services.facts
    views = [public_view(facts.rollout(row.name)) for row in facts.rollouts(open_only=True, paths=PREVIEWS)]
    if as_json:
        return output.say_json(views)
    if not views:
        return output.say("No preview is out.")
    for view in views:
        output.say(
            output.pairs(
                [
                    ("rollout", f"{view['rollout']}: {view['stage']}"),
                    ("tag", view["tag"] or "not announced yet"),
                    ("JDL", view["jdl"] or "-"),
                ]
            ),
            output.table(
                ("SITE", "STATE", "SINCE"), [(s["site"], s["state"], s["since"] or "-") for s in view["sites"]]
            ),
        )
    return None


@app.command()
def write(ctx: typer.Context, as_json: output.Json = False) -> None:
    """Write the bulletin's HTML and JSON files anew; the same facts give the same files."""
    from pps.activities.clients.bulletin_pages import write_bulletin

    here = front(ctx)
    services = here.services
    folder, config = services.publication_folder, services.config
    changed = write_bulletin(
        services.facts, config.sites, services.templates, folder, here.now(), config.service.public_url
    )
    if as_json:
        return output.say_json({"folder": str(folder), "changed": changed})
    return output.say(f"{folder}: " + (f"{', '.join(changed)} written." if changed else "nothing has changed."))
