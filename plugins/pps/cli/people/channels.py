"""`pps channels`: other ways to people than mail, and whether they work."""

from __future__ import annotations

from typing import Annotated

import typer

from pps.activities.ports.people import Mail
from pps.cli import output
from pps.cli.front import front, group
from pps.config.people_models import PeopleFile
from pps.domain.base.errors import ConfigurationError, ServiceError
from pps.domain.people.channels import connection_of, shared_link

app = group("Other ways to people than mail: chats and webhooks, as people.yaml names them.")


@app.command("list")
def list_channels(ctx: typer.Context, as_json: output.Json = False) -> None:
    """List the channels, the Connection that holds each one's secret, and who gets what by it."""
    people = front(ctx).services.config.people
    found = [
        {
            "channel": name,
            "by": channel.by.value,
            "connection": connection_of(name),
            "told": [
                {"address": t.address, "notices": [n.value for n in t.notices], "mail": t.mail}
                for t in people.told
                if name in t.channels
            ],
        }
        for name, channel in people.channels.items()
    ]
    if as_json:
        return output.say_json(found)
    if not found:
        return output.say("people.yaml names no channels: everything leaves by mail. docs/production.md says how.")
    rows = [(c["channel"], c["by"], c["connection"], _told(people, str(c["channel"]))) for c in found]
    return output.say(output.table(("CHANNEL", "BY", "CONNECTION", "WHO GETS WHAT"), rows))


def _told(people: PeopleFile, channel: str) -> str:
    mine = (one for one in people.told if channel in one.channels)
    return "; ".join(f"{one.address}: {', '.join(one.notices)}" for one in mine) or "nobody"


@app.command()
def test(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CHANNEL", help="As people.yaml names it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look whether it can be reached; send nothing.")] = False,
    as_json: output.Json = False,
) -> None:
    """Send a test message by a channel, at once: people in the room read it. Exit code 1 if it was not taken."""
    here = front(ctx)
    channels = here.services.channels
    if name not in channels:
        known = ", ".join(channels) or "none"
        raise ConfigurationError(f"channel {name[:60]!r}", "is not in people.yaml.", f"It names: {known}.")
    if dry_run:
        said = channels[name].check()
    else:
        link = shared_link(here.services.config.service.public_url, "sites")
        subject = f"A test of the channel {name} by the Pre-Production Service"
        key = f"channels/test/{name}/{here.now().isoformat()}"
        if error := channels[name].send(Mail(key, name, subject, link, channel=name)):
            raise ServiceError(f"channel {name}", f"{error}", "Correct it, and try again.")
        said = "The test message was taken."
    if as_json:
        return output.say_json({"channel": name, "dry_run": dry_run, "said": said})
    return output.say(f"{name}: {said}")
