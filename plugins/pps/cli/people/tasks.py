"""`pps tasks`: what waits for a person, and the answer, without a browser."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.cli import output
from pps.cli.front import front, group
from pps.cli.people import answering
from pps.domain.base.errors import ConfigurationError, RefusedError
from pps.domain.people.links import tasks_link
from pps.workflow.answers import Standing

app = group("What waits for a person: sites, EMT, coordination, Release Manager.")

Key = Annotated[
    str, typer.Argument(metavar="TASK", help="As pps tasks list shows it, or the beginning of its headline.")
]


def key_of(question: AirflowQuestion) -> str:
    """How people name a task: run and task, and its number where there are several."""
    number = f"/{question.map_index}" if question.map_index >= 0 else ""
    return f"{question.run}/{question.task}{number}"


@app.command("list")
def list_tasks(
    ctx: typer.Context,
    mine: Annotated[
        bool, typer.Option("--mine", help="Only those put to the user of PPS_AIRFLOW_USER, by name or by role.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """List the questions that wait for an answer, the most urgent first; whose they are is in the last column."""
    here = front(ctx)
    found = here.airflow.questions()
    known = answering.on_record(here, found)
    told = [(q, known.get(answering.place_of(q), {})) for q in found]
    wanted = sorted(((q, said) for q, said in told if not mine or said.get("mine")), key=lambda row: _due(row[1]))
    if as_json:
        return output.say_json([_data(q) | {"due": said.get("due"), "page": said.get("link")} for q, said in wanted])
    if not wanted:
        return output.say("Nothing waits for you." if mine else "Nobody's answer is awaited.")
    rows = [
        (
            key_of(q),
            output.moment(_due(said)) if said else "-",
            said.get("title") or q.subject,
            " | ".join(q.options),
            ", ".join(q.assigned_to) or "anybody",
        )
        for q, said in wanted
    ]
    return output.say(
        output.table(("TASK", "ANSWER BY", "QUESTION", "ANSWERS", "WHOSE"), rows),
        f"Answer in a browser: {tasks_link(here.services.config.service.public_url)}",
    )


def _due(said: Mapping[str, Any]) -> datetime:
    """What the record does not know comes last."""
    return datetime.fromisoformat(said["due"]) if said else datetime.max.replace(tzinfo=UTC)


@app.command()
def show(ctx: typer.Context, task: Key, as_json: output.Json = False) -> None:
    """Show one question: what you need to know, the possible answers, the form."""
    here = front(ctx)
    question = _find(here.airflow.questions(), task)
    page = answering.place_of(question).link(here.services.config.service.public_url)
    if as_json:
        return output.say_json(_data(question) | {"page": page})
    fields = [
        (name, spec.get("description") or "", "-" if spec.get("value") in (None, "") else spec["value"])
        for name, spec in question.params.items()
    ]
    output.say(question.subject, "", question.body.strip(), "", f"Answers: {' | '.join(question.options)}")
    if fields:
        output.say(output.table(("FIELD", "WHAT", "HOLDS"), fields))
    option = question.options[0] if " " not in question.options[0] else f"'{question.options[0]}'"
    given = "".join(f" --field {name}=..." for name in question.params)
    return output.say(f"Answer it: pps tasks answer {key_of(question)} {option}{given}", f"In a browser: {page}")


@app.command()
def answer(
    ctx: typer.Context,
    task: Key,
    choice: Annotated[str, typer.Argument(metavar="ANSWER", help="One of the possible answers.")],
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="One field of the form; may be given again."),
    ] = None,
    wait: answering.Wait = True,
    as_json: output.Json = False,
) -> None:
    """Answer a question, as the user of PPS_AIRFLOW_USER. The first answer in time decides.

    Says whether the answer was taken; exit code 1 if it was not.
    """
    here = front(ctx)
    question = _find(here.airflow.questions(), task)
    option = next((o for o in question.options if o.lower() == choice.lower()), None)
    if option is None:
        raise RefusedError(question.subject, (f"{choice[:60]!r} is not one of: {', '.join(question.options)}.",))
    verdict = answering.outcome(here, question, option, _form(question, field or []), wait=wait)
    refused = verdict.standing is Standing.NOT_TAKEN
    if as_json:
        said = {"task": key_of(question), "answer": option, "verdict": verdict.standing, "reasons": verdict.reasons}
        output.say_json(said)
        raise typer.Exit(1 if refused else 0)
    if refused:
        raise RefusedError(question.subject, ("Not taken:", *verdict.reasons))
    return output.say(f"Answered {key_of(question)}: {option}. {answering.word(verdict)}")


def _find(questions: Any, key: str) -> AirflowQuestion:
    found = [q for q in questions if key_of(q) == key] or [q for q in questions if q.subject.startswith(key)]
    if len(found) != 1:
        why = "waits for no answer" if not found else f"fits {len(found)} questions"
        raise ConfigurationError(f"task {key[:80]!r}", f"{why}.", "Take one that is listed by: pps tasks list")
    question: AirflowQuestion = found[0]
    return question


def _form(question: AirflowQuestion, given: list[str]) -> Mapping[str, Any]:
    """The whole form: what was given, and the form's own values for the rest."""
    values = {name: spec.get("value") for name, spec in question.params.items()}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in values:
            raise ConfigurationError(
                f"field {name[:60]!r}", "is not in this form.", f"It has: {', '.join(values) or 'no fields'}."
            )
        values[name] = value.replace("\\n", "\n")
    return values


def _data(question: AirflowQuestion) -> dict[str, Any]:
    return {
        "task": key_of(question),
        "question": question.subject,
        "answers": question.options,
        "whose": question.assigned_to,
        "body": question.body,
        "form": {name: spec.get("description") or "" for name, spec in question.params.items()},
        "holds": {name: spec.get("value") for name, spec in question.params.items()},
    }
