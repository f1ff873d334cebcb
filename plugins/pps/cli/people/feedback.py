"""`pps feedback`: what the VOs say of a preview."""

from __future__ import annotations

import sys
from typing import Annotated
from urllib.parse import quote

import typer

from pps.cli import output
from pps.cli.front import front, group
from pps.domain.base.errors import ConfigurationError
from pps.domain.people.feedback import (
    Opinion,
    VoAnswer,
    answers,
    counting,
    invited_vos,
    outcome,
    summary,
    turned_away_text,
)
from pps.domain.people.verdicts import Asked

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
    bug: Annotated[
        list[str] | None, typer.Option(metavar="NUMBER=VERDICT", help="Of one bug: 101=fixed, 101=not-fixed.")
    ] = None,
    test_case: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VERDICT", help="Of one test case: NAME=works, NAME=does-not-work.")
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Give feedback; the same feedback given twice counts once.

    What is said of single bugs and test cases is shown beside the whole. Of a VO's answers in time the newest counts.
    """
    from pps.activities.people.feedback import Said, give_feedback

    here = front(ctx)
    if text == "-":
        text = sys.stdin.read(65537)
        if len(text) > 65536:
            raise ConfigurationError(
                "feedback", "is longer than 65536 characters.", "Shorten it; attach logs to a ticket."
            )
    services = here.services
    said = Said(
        vo, opinion, text, author, token, bugs=_pairs(bug, "--bug"), test_cases=_pairs(test_case, "--test-case")
    )
    secret, limits, asked = services.feedback_secret, services.config.policies.feedback.limits(), Asked()
    if said.bugs or said.test_cases:
        patch = services.tracker.patch(services.facts.rollout(rollout).patch_number)
        asked = Asked(tuple(b.number for b in patch.bugs), tuple(c.name for c in patch.test_cases))
    answer = give_feedback(services.facts, rollout, said, here.now(), secret, limits=limits, asked=asked)
    if as_json:
        return output.say_json(answer)
    counts = "it counts for the VO" if counting([answer]) else "it is shown, but counts for no VO"
    why = " (it came after the agreed date)" if answer.late else "" if answer.invited else " (no valid invitation)"
    if answer.replaced:
        counts, why = "it is shown, but the VO's later answer counts", ""
    return output.say(f"Recorded as {answer.identity}; {counts}{why}.")


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in given or ():
        name, sign, verdict = pair.partition("=")
        if not sign or name in found:
            why = "is named twice" if sign else "has no verdict"
            raise typer.BadParameter(f"{name[:64]!r} {why}; write {option} NAME=VERDICT.", param_hint=option)
        found[name] = verdict.replace("-", " ")
    return found


@app.command()
def withdraw(
    ctx: typer.Context,
    rollout: RolloutName,
    vo: Annotated[str, typer.Option(help="The VO whose answer is taken back.")],
    token: Annotated[str, typer.Option(help="Token of the VO's invitation, or of the answer's own link.")],
    as_json: output.Json = False,
) -> None:
    """Withdraw an answer, until the asking ends: the VO is silent again, and the record keeps both."""
    from pps.activities.people.feedback import withdraw_feedback

    here = front(ctx)
    answer = withdraw_feedback(here.services.facts, rollout, vo, token, here.now(), here.services.feedback_secret)
    if as_json:
        return output.say_json(answer)
    silent = f" {vo} counts as silent again." if answer.invited else ""
    return output.say(f"The answer of {output.moment(answer.at)} is withdrawn.{silent}")


@app.command("follow-up")
def follow_up(
    ctx: typer.Context,
    rollout: RolloutName,
    answer: Annotated[str, typer.Argument(metavar="ANSWER", help="Its identity; pps feedback list --json shows it.")],
    text: Annotated[str, typer.Option(metavar="TEXT", help='What became of it: "fixed in patch 4720". Published.')],
    as_json: output.Json = False,
) -> None:
    """Follow up an answer, as the user of PPS_AIRFLOW_USER; it stands under the answer, in the release notes too.

    Only a Release Manager or the PPS Coordinator may. Release notes that are out are written anew, and say that it came
    later.
    """
    said = front(ctx).post(
        f"rollouts/{rollout}/feedback/{quote(answer, safe='')}/follow-up", {"text": text}, about=rollout
    )
    if as_json:
        return output.say_json(said)
    word = "is on record" if said["new"] else "was on record already"
    return output.say(f"The follow-up to {said['vo']} {word}. {said['release_notes']}")


@app.command("list")
def list_feedback(ctx: typer.Context, rollout: RolloutName, as_json: output.Json = False) -> None:
    """List the feedback on a preview."""
    facts = front(ctx).services.facts
    record, turned_away = facts.rollout(rollout), facts.turned_away(rollout)
    given = answers(record)
    silent = sorted(invited_vos(record) - {a.vo for a in counting(given)})
    parts = summary(record)
    if as_json:
        return output.say_json(
            {
                "outcome": outcome(record),
                "answers": given,
                "bugs": parts.bugs,
                "test_cases": parts.test_cases,
                "silent": silent,
                "turned_away": turned_away,
            }
        )
    if given:
        rows = [(output.moment(a.at), a.vo, a.words, _standing(a), _told(a)) for a in given]
        output.say(output.table(("GIVEN", "VO", "OPINION", "COUNTS", "TEXT"), rows))
    else:
        output.say("No feedback was given.")
    for what, tallies in (("Bug", parts.bugs), ("Test case", parts.test_cases)):
        for tally in tallies:
            output.say(f"{what} {tally.name}: {tally.words}.")
    if text := turned_away_text(turned_away):
        output.say(f"{text} They are set in policies.yaml, feedback.")
    if silent:
        output.say(f"Invited and silent so far: {', '.join(silent)}.")
    return None


def _told(a: VoAnswer) -> str:
    follow_ups = [f"-> {f.role}: {f.text}" for f in a.follow_ups]
    return "\n".join(filter(None, (a.text, *follow_ups))) or "-"


def _standing(a: VoAnswer) -> str:
    if a.withdrawn_at is not None:
        return f"no: withdrawn on {output.moment(a.withdrawn_at)}"
    if a.replaced:
        return "no: replaced by the later one"
    return "no: late" if a.late else "yes" if a.invited else "no: not invited"
