"""`pps sites token`: with what a site that fetches by itself reports."""

from __future__ import annotations

from typing import Annotated

import typer

from pps.activities.people.tokens import site_token
from pps.cli import output
from pps.cli.front import front
from pps.domain.base.errors import ConfigurationError


def show_token(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SITE", help="A site of the registry that has a kit.")],
    as_json: output.Json = False,
) -> None:
    """Show the token with which a site reports what it has fetched. It is a secret of that site.

    Whoever has it can say how things are there, and nothing else. If it is lost, write `token: 2` (or the next number)
    at the site in sites.yaml: from then on the one before is worthless; show the new one, and give it to them.
    """
    services = front(ctx).services
    site = services.config.site(name)
    if site.kit is None:
        why = "has no kit, and so nothing that reports."
        raise ConfigurationError(name, why, f"Make one: pps sites kit {name} --fetch-from URL.")
    token = site_token(services.feedback_secret, site.name, site.token)
    if as_json:
        return output.say_json({"site": site.name, "number": site.token, "token": token})
    return output.say(
        token,
        "",
        f"For the root of {site.name}, by a way that nobody listens to; there, with the token on standard input:",
        "  sudo -u pps sh -c 'umask 077; cat >/var/lib/pps-fetch/token'",
    )
