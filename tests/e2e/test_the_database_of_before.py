"""Pilots last for weeks: what the version before has begun, this one ends.

Runs after all tests of the small Airflow and before those of the whole grid, as it has an installation of its own.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.support.airflow import end_airflow
from tests.support.airflow_waits import runs_of
from tests.support.half_way import AT_REPORT, AT_SET_UP, ENVIRONMENT, FACTS, POLICIES, Before, restore
from tests.support.whole import Grid
from tests.support.whole_pilots import MAJOR, PilotRun, partner
from typer.testing import CliRunner

from pps.activities.people.effort import credits_on_record
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.packages.patch import PatchState
from pps.domain.people import questions
from pps.domain.record import chain
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import PartnerLevel
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo.play import answer_invitation
from pps.sandbox.grid.pilot_service import ServiceAction
from pps.sandbox.grid.smtp import kept_mails, read_mail

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh")]
TRIGGER = "pps.orchestration.sensors.ConditionTrigger"


@pytest.fixture
def left(request: pytest.FixtureRequest) -> Iterator[tuple[Grid, Before]]:
    """The installation of before, upgraded by this version's start."""
    end_airflow(request.config)
    with tempfile.TemporaryDirectory(prefix="pps-half-way-", ignore_cleanup_errors=True) as name:
        installation = Installation(Path(name) / "installation", environment=ENVIRONMENT, policies=POLICIES)
        before = restore(installation)
        with installation:
            yield Grid(installation, Path(name)), before


def waiting(grid: Grid) -> set[tuple[str, str, str]]:
    return {(q.dag, q.run, q.task) for q in grid.client.questions()}


@pytest.mark.sd("4.1.3")
def test_pilots_that_the_version_before_left_half_way_are_ended_by_this_one(left: tuple[Grid, Before]) -> None:
    """One waits for its service, the other for a report and for its VO; triggers and questions are those of before."""
    grid, before = left
    going, over = (PilotRun(grid, MAJOR, name) for name in (AT_SET_UP, AT_REPORT))
    gold, platinum = partner(grid, PartnerLevel.GOLD), partner(grid, PartnerLevel.PLATINUM)
    assert before.triggers >= {
        (TRIGGER, "pilot_is_set_up", going.name),
        (TRIGGER, "vos_may_begin", going.name),
        (TRIGGER, "pilot_run_is_over", going.name),
        (TRIGGER, "vos_are_heard", over.name),
    }
    deployment = {("pre_deployment_test", f"{pilot.name}.deployment") for pilot in (going, over)}
    assert {question[:2] for question in before.questions} == deployment | {(MAJOR, over.name)}
    assert waiting(grid) == before.questions

    signed = CliRunner().invoke(app, ["keys", "sign", "--unsigned"], obj=Front(grid.services))
    assert (signed.exit_code, signed.stdout.count("/mirror/")) == (0, 2), "as docs/production.md says"
    for pilot in (going, over):
        verified = CliRunner().invoke(app, ["mirror", "verify", pilot.name], obj=Front(grid.services))
        assert verified.exit_code == 0, verified.output

    grid.control.act_on_service(gold, ServiceAction.START)
    going.waits_for(FactKind.VO_INVITED)
    happy = "Our jobs run as they did before."
    for vo in ("lhcb", "atlas"):  # the one was invited by the version before
        grid.waits_for(f"answer of {vo}", lambda vo=vo: answer_invitation(grid.mails, vo, "works", happy) == 201)
    for pilot, site in ((over, platinum), (going, gold)):
        pilot.member_site_passes()
        pilot.report(site)
        pilot.decide("Release", guidelines="Dump the database before.")
        assert pilot.outcome() == "released"
        assert happy in grid.notes(pilot.name)
        number = grid.rollout(pilot.name).patch_number
        assert grid.services.tracker.patch(number).state is PatchState.IN_PRODUCTION
    assert waiting(grid) == set()
    for run in runs_of(grid.client, MAJOR):
        assert len(run["dag_versions"]) > 1, "the DAG of before was another one"
        states = {task.state for task in grid.client.tasks(MAJOR, run["dag_run_id"])}
        assert states == {"success", "skipped"}
    stands_as_it_was(grid, before)
    nothing_happened_twice(grid)


def stands_as_it_was(grid: Grid, before: Before) -> None:
    """Facts and mails of before."""
    with psycopg.connect(grid.installation.store_url.replace("+psycopg", "")) as connection:
        facts = connection.execute(FACTS).fetchall()  # type: ignore[arg-type]
        mails = dict(connection.execute("SELECT key, subject FROM outbox").fetchall())
        unsent = connection.execute("SELECT key FROM outbox WHERE sent_at IS NULL").fetchall()
    assert facts[: len(before.facts)] == before.facts
    assert before.mails.items() <= mails.items()
    assert not unsent
    for name, links in grid.services.facts.chains():
        assert not chain.verify(name, links).misfit


def nothing_happened_twice(grid: Grid) -> None:
    """Asked, mailed, written, credited: each once, whichever version did it."""
    records = [grid.rollout(entry.name) for entry in grid.services.facts.rollouts()]
    asked = Counter((record.name, q.step, q.subject) for record in records for q in questions.questions(record))
    letters = Counter(
        (mail.recipients, mail.subject, str(read_mail(grid.mails, mail).get_body(("plain",))))
        for mail in kept_mails(grid.mails)
    )
    entries = Counter(
        (f.rollout, f.subject, f.payload["text"])
        for record in records
        for f in record.facts
        if f.kind is FactKind.JOURNAL_ENTRY
    )
    credits = Counter((c.rollout, c.activity, c.who) for c in credits_on_record(grid.services.facts))
    once = Counter(
        (f.rollout, f.kind, f.subject)
        for record in records
        for f in record.facts
        if f.kind in (FactKind.SERVICE_SET_UP, FactKind.RUN_ENDED, FactKind.VO_INVITED, FactKind.WRAPPED_UP)
    )
    for counted in (asked, letters, entries, credits, once):
        assert set(counted.values()) == {1}, [what for what, times in counted.items() if times > 1]
