"""`pps mails`: what was sent, to whom, and what is still waiting."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from pps.activities.ports.people import Mail
from pps.cli import output
from pps.cli.front import front, group

app = group("The mails of a rollout: sent, waiting, refused.")


@app.command()
def outbox(
    ctx: typer.Context,
    rollout: Annotated[
        str, typer.Argument(metavar="ROLLOUT", help="Name of the rollout; pps rollout list shows them.")
    ],
    text: Annotated[bool, typer.Option("--text", help="Show the mails' text too, of those that still wait.")] = False,
    as_json: output.Json = False,
) -> None:
    """List the mails of a rollout."""
    mails = front(ctx).services.facts.outbox(rollout)
    if as_json:
        data = [
            {
                "to": m.to,
                "channel": m.channel,
                "subject": m.subject,
                "sent": sent,
                "error": error,
                "key": m.key,
                "text_sha256": m.text_sha256,
            }
            | ({"text": m.text} if text else {})
            for m, sent, error in mails
        ]
        return output.say_json(data)
    if not mails:
        return output.say(f"{rollout} has no mails.")
    rows = [(output.moment(sent) if sent else error or "waiting", _to(m), m.subject) for m, sent, error in mails]
    output.say(output.table(("SENT", "TO", "SUBJECT"), rows))
    if text:
        for mail, sent, _ in mails:
            output.say("", f"To: {_to(mail)}", f"Subject: {mail.subject}", "", mail.text or _no_text(mail, sent))
    return output.say(f"{sum(1 for _, sent, _ in mails if sent)} of {len(mails)} mails sent.")


def _to(mail: Mail) -> str:
    return f"channel {mail.channel}" if mail.channel else mail.to


def _no_text(mail: Mail, sent: datetime | None) -> str:
    what = f"Sent on {output.moment(sent)}" if sent else "Given up"
    return f"({what}; the text is not kept, its SHA-256 is {mail.text_sha256}.)"
