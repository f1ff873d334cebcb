"""`pps sites`: who the sites are and what they agreed to."""

from __future__ import annotations

from typing import Annotated

import typer

from pps.cli import output
from pps.cli.front import front, group
from pps.cli.sites.importing import import_sites
from pps.cli.sites.kit import make_kit
from pps.cli.sites.token import show_token
from pps.config.loader import problems_in
from pps.config.site_models import SitesFile
from pps.domain.sites.place import in_words
from pps.domain.sites.site import Site

app = group("The sites: who they are, and what they agreed to.")
app.command("import")(import_sites)
app.command("kit")(make_kit)
app.command("token")(show_token)


@app.command("list")
def list_sites(
    ctx: typer.Context,
    roc: Annotated[str | None, typer.Option(help="Only sites of this ROC.")] = None,
    as_json: output.Json = False,
) -> None:
    """List the sites of the registry."""
    sites = [s for s in front(ctx).services.config.sites.values() if roc in (None, s.roc)]
    if as_json:
        return output.say_json(sites)
    if not sites:
        return output.say("No sites." if roc else "No sites yet. docs/sites.md says how a site joins.")
    rows = [
        (
            s.name,
            s.roc,
            s.platform,
            f"{s.cpus or '-':>5}",
            "canary" if s.canary else "yes" if s.accepts_previews else "no",
            s.certification,
        )
        for s in sites
    ]
    placeless = sum(s.place is None for s in sites)
    output.say(
        output.table(("SITE", "ROC", "PLATFORM", " CPUS", "PREVIEWS", "STATUS"), rows),
        f"{len(sites)} sites{f', {placeless} of them without a place on the map' if placeless else ''}.",
    )
    return None


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SITE", help="A site.")],
    as_json: output.Json = False,
) -> None:
    """Show one site."""
    site = front(ctx).services.config.site(name)
    if as_json:
        return output.say_json(site)
    output.say(
        output.pairs(
            [
                ("site", site.name),
                ("ROC", site.roc),
                ("platform", site.platform),
                ("infrastructure", site.infrastructure),
                ("certification", site.certification),
                ("previews", "yes" if site.accepts_previews else "no"),
                ("canary", "yes" if site.canary else "no"),
                ("partner levels", ", ".join(sorted(site.partner_levels)) or "-"),
                *_how_it_is_reached(site),
                ("preview root", site.preview_root),
                ("production root", site.production_root),
                ("production check", site.production_check),
                ("profile.d", site.profile_d),
                ("tag directory", site.tag_dir),
                ("SubCluster", site.subcluster),
                ("contact", site.contact),
                ("time zone", site.timezone),
                ("place", in_words(site.place)),
                ("CPUs", site.cpus or "-"),
                ("services", ", ".join(f"{s.type} at {s.host}" for s in site.services) or "-"),
            ]
        )
    )
    return None


def _how_it_is_reached(site: Site) -> list[tuple[str, object]]:
    if site.fetches:
        return [("reached", "by nobody: it fetches by itself, and reports"), ("token", f"number {site.token}")]
    ssh = site.login
    return [
        ("login", f"{ssh.user}@{ssh.host}:{ssh.port}"),
        ("host key", ssh.host_key),
        ("connection", site.connection),
    ]


@app.command()
def check(ctx: typer.Context, as_json: output.Json = False) -> None:
    """Check the registry and list every problem in it. Reachability is checked by: pps doctor."""
    config = front(ctx).services.config
    file = config.folder / "sites.yaml"
    problems = problems_in(file, SitesFile)
    count = 0 if problems else len(config.sites)
    placeless = [] if problems else [s.name for s in config.sites.values() if s.place is None]
    if as_json:
        output.say_json({"file": file, "sites": count, "problems": problems, "without_place": placeless})
    elif problems:
        output.say(*problems, f"{file}: {len(problems)} problem(s).")
    else:
        output.say(f"{file}: {count} sites, no problems.")
        if placeless:
            output.say(f"Listed beside the map, since latitude and longitude are missing: {', '.join(placeless)}.")
    if problems:
        raise typer.Exit(1)
