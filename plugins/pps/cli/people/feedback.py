"""`pps feedback`: what the VOs say of a preview."""

from __future__ import annotations

import hashlib
import sys
from typing import Annotated

import typer

from pps.cli import output
from pps.cli.front import front, group
from pps.domain.base.errors import ConfigurationError
from pps.domain.people.feedback import Opinion, VoAnswer, answers, counting, invited_vos, outcome, turned_away_text

app = group("What the VOs say of a preview (SD 4.1.1).")

RolloutName = Annotated[
    str, typer.Argument(metavar="ROLLOUT", help="Name of the rollout; pps rollout list shows them.")
]


@app.command()
def give(
    ctx: typer.Context,
    rollout: RolloutName,
    vo: Annotated[str, typer.Option(help="The VO that speaks.")],
    opinion: Annotated[Opinion, typer.Option(case_sensitive=False, help="What it found.")],
    text: Annotated[str, typer.Option(help="What happened; '-' reads it from standard input.")] = "",
    author: Annotated[str, typer.Option(help="Who writes; never published.")] = "",
    token: Annotated[
        str, typer.Option(help="Token of the VO's invitation; without it the answer counts for no VO.")
    ] = "",
    as_json: output.Json = False,
) -> None:
    """Give feedback; the same feedback given twice counts once."""
    from pps.activities.people.feedback import Said, give_feedback

    here = front(ctx)
    if text == "-":
        text = sys.stdin.read(65537)
        if len(text) > 65536:
            raise ConfigurationError(
                "feedback", "is longer than 65536 characters.", "Shorten it; attach logs to a ticket."
            )
    key = hashlib.sha256("\0".join((rollout, vo, opinion, text, author)).encode("utf-8", "replace")).hexdigest()
    services = here.services
    secret, limits = services.feedback_secret, services.config.policies.feedback.limits()
    answer = give_feedback(
        services.facts, rollout, Said(vo, opinion, text, author, token, key), here.now(), secret, limits=limits
    )
    if as_json:
        return output.say_json(answer)
    counts = "it counts for the VO" if counting([answer]) else "it is shown, but counts for no VO"
    why = " (it came after the agreed date)" if answer.late else "" if answer.invited else " (no valid invitation)"
    if answer.replaced:
        counts, why = "it is shown, but the VO's later answer counts", ""
    return output.say(f"Recorded as {answer.identity}; {counts}{why}.")


@app.command("list")
def list_feedback(ctx: typer.Context, rollout: RolloutName, as_json: output.Json = False) -> None:
    """List the feedback on a preview."""
    facts = front(ctx).services.facts
    record, turned_away = facts.rollout(rollout), facts.turned_away(rollout)
    given = answers(record)
    silent = sorted(invited_vos(record) - {a.vo for a in counting(given)})
    if as_json:
        return output.say_json(
            {"outcome": outcome(record), "answers": given, "silent": silent, "turned_away": turned_away}
        )
    if given:
        rows = [(output.moment(a.at), a.vo, a.opinion, _standing(a), a.text or "-") for a in given]
        output.say(output.table(("GIVEN", "VO", "OPINION", "COUNTS", "TEXT"), rows))
    else:
        output.say("No feedback was given.")
    if text := turned_away_text(turned_away):
        output.say(f"{text} They are set in policies.yaml, feedback.")
    if silent:
        output.say(f"Invited and silent so far: {', '.join(silent)}.")
    return None


def _standing(a: VoAnswer) -> str:
    if a.replaced:
        return "no: replaced by the later one"
    return "no: late" if a.late else "yes" if a.invited else "no: not invited"
