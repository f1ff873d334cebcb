"""`pps sites import`: what GOCDB says about the sites, into sites.yaml."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Annotated
from urllib.parse import urlsplit

import typer

from pps.cli import output
from pps.cli.front import front


def import_sites(
    ctx: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(metavar="FILE|URL...", help="GOCDB's answers to get_site and get_service, in any order."),
    ],
    apply: Annotated[bool, typer.Option("--apply", help="Write sites.yaml; without it nothing is changed.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Set sites that GOCDB no longer lists to Closed.")] = False,
    as_json: output.Json = False,
) -> None:
    """Compare GOCDB with the site registry, show what would change, and with --apply change it."""
    from pps.activities.sites.registry_import import plan_import
    from pps.adapters.sites.gocdb import read_listing
    from pps.adapters.sites.registry_file import apply_plan, read_registry
    from pps.config.loader import site_problems

    registry = read_registry(front(ctx).services.config.folder / "sites.yaml")
    listing = reduce(add, [read_listing(source) for source in sources])
    sites = {s.name: s.to_domain() for s in registry.file.sites}
    plan = plan_import(sites, listing, site_problems, prune=prune)
    if plan.additions and any(urlsplit(s).scheme.lower() == "http" for s in sources):
        note = "The listing came over plain HTTP: confirm each new site's host key with its administrator."
        plan = replace(plan, notes=(*plan.notes, note))
    applied = apply and apply_plan(registry, plan)
    if as_json:
        return output.say_json(
            {
                "file": registry.path,
                "applied": applied,
                "changes": [
                    {"site": c.site, "key": c.key, "old": c.old, "new": c.new, "sentence": c.sentence}
                    for c in plan.changes
                ],
                "added": plan.additions,
                "not_added": plan.not_added,
                "without_keys": plan.without_keys,
                "no_longer_listed": plan.missing,
                "notes": plan.notes,
                "problems": plan.problems,
            }
        )
    output.say(*(c.sentence for c in plan.changes))
    for entry in plan.additions:
        login = entry["ssh"]
        previews = "takes previews" if entry["accepts_previews"] else "takes no previews (PPS_PREVIEWS is not yes)"
        output.say(f"{entry['name']}: added; {previews}; login {login['user']}@{login['host']}.")
        output.say(f"  host key {login['host_key']}")
    output.say(*(f"{n.site}: not added: {' '.join(n.reasons)}" for n in plan.not_added))
    if not prune:
        output.say(*(f"{name}: GOCDB no longer lists it; kept as it is (--prune closes it)." for name in plan.missing))
    if plan.without_keys:
        output.say(f"{len(plan.without_keys)} further sites of GOCDB have no PPS_ extension, and take no part.")
    output.say(*plan.notes, *(f"Problem: {problem}" for problem in plan.problems))
    counted = f"{len(plan.changes)} changes and {len(plan.additions)} new sites"
    if plan.does_nothing:
        return output.say(f"{registry.path.name} says the same as GOCDB; nothing to change.")
    if not applied:
        return output.say(f"{counted}. Nothing was written; --apply does it.")
    return output.say(f"{counted} written; the old file is {registry.path.name}.bak")
