"""Rollouts and pilots last for weeks: what the version before has begun, this one ends.

Runs after all tests of the small Airflow and before those of the whole grid, as it has an installation of its own.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.e2e import test_non_bc_client_update as non_bc
from tests.e2e import test_release_testing as release_testing
from tests.support.airflow import end_airflow
from tests.support.airflow_waits import runs_of, why_failed
from tests.support.half_way import (
    AT_DECISION,
    AT_REPORT,
    AT_SET_UP,
    CLIENT,
    ENVIRONMENT,
    FACTS,
    NON_BC,
    OVERRULE,
    POLICIES,
    RELEASE_TEST,
    TEST,
    Before,
    restore,
)
from tests.support.whole import BC, VOS, Grid
from tests.support.whole_pilots import MAJOR, MINOR, PilotRun, form, partner
from typer.testing import CliRunner

from pps.activities.people.effort import credits_on_record
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.packages.patch import PatchState
from pps.domain.people import questions
from pps.domain.record import chain
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import PartnerLevel
from pps.sandbox.airflow.configuration import administrator_of
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


@pytest.mark.sd("4.1.1")
@pytest.mark.sd("4.1.2")
@pytest.mark.sd("4.1.3")
@pytest.mark.sd("4.2.2")
@pytest.mark.sd("4.2.3")
def test_rollouts_and_pilots_of_every_path_that_the_version_before_left_half_way_are_ended_by_this_one(
    left: tuple[Grid, Before],
) -> None:
    """Triggers, questions and dates are those of before. All are answered at once, so that nobody waits for another."""
    grid, before = left
    going, over = (PilotRun(grid, MAJOR, name) for name in (AT_SET_UP, AT_REPORT))
    minor = PilotRun(grid, MINOR, AT_DECISION)
    gold, platinum = partner(grid, PartnerLevel.GOLD), partner(grid, PartnerLevel.PLATINUM)
    assert before.triggers >= {
        (TRIGGER, "pilot_is_set_up", going.name),
        (TRIGGER, "vos_may_begin", going.name),
        (TRIGGER, "pilot_run_is_over", going.name),
        (TRIGGER, "vos_are_heard", over.name),
        (TRIGGER, "feedback_is_over", CLIENT),
        (TRIGGER, "certification_is_over", CLIENT),
        (TRIGGER, "deployment_test_is_over", NON_BC),
    }
    tested = {f"{name}.deployment" for name in (going.name, over.name, minor.name, NON_BC)} | {TEST}
    assert before.questions == {
        *(("pre_deployment_test", run, "ask_member_site") for run in tested),
        (MAJOR, over.name, "site.report"),
        (MINOR, minor.name, "decide_at_wrap_up"),
        (non_bc.DAG, NON_BC, "site.configure"),
        (release_testing.DAG, RELEASE_TEST, "ask_site"),
        ("overrule_policies", OVERRULE, "ask_the_coordination"),
    }
    assert waiting(grid) == before.questions

    signed = CliRunner().invoke(app, ["keys", "sign", "--unsigned"], obj=Front(grid.services))
    assert (signed.exit_code, signed.stdout.count("/mirror/")) == (0, 3), "as docs/production.md says"
    for pilot in (going, over, minor):
        verified = CliRunner().invoke(app, ["mirror", "verify", pilot.name], obj=Front(grid.services))
        assert verified.exit_code == 0, verified.output

    # people answer what the version before has asked
    grid.control.act_on_service(gold, ServiceAction.START)
    minor.decide("Release", reason="It ran without an incident.")
    member = administrator_of(grid.member_site())
    for run in sorted(tested):
        answer(grid, member, "Pass", "pre_deployment_test", run, report="It installs.")
    site = the_site_that_is_asked(grid, non_bc.DAG, NON_BC)
    tarball = grid.rollout(NON_BC).need(FactKind.TARBALL_BUILT, "").payload["name"]
    non_bc.configure(grid, site, tarball, f"export {non_bc.VARIABLE}=file\n")
    set_to = f"{non_bc.VARIABLE}=file"
    answer(grid, administrator_of(site), "Configured", non_bc.DAG, NON_BC, settings=set_to)
    pool = the_site_that_is_asked(grid, release_testing.DAG, RELEASE_TEST)
    with_it = "a user interface"
    answer(grid, administrator_of(pool), "Accept", release_testing.DAG, RELEASE_TEST, services=with_it)
    answer(grid, "pps-coordinator", "Refuse", "overrule_policies", OVERRULE, remarks="Not exploitable here.")
    happy = "Our jobs run as they did before."
    asked = {over.name: ("lhcb",), CLIENT: ("cms", "lhcb", "biomed"), NON_BC: VOS, going.name: ("atlas",)}
    for name, vos in asked.items():
        for vo in vos:  # all but the last one were invited by the version before
            given = (vo, "works", f"{happy} ({vo})", name)
            grid.waits_for(f"answer of {vo}", lambda given=given: answer_invitation(grid.mails, *given) == 201)
    for name in (CLIENT, NON_BC):
        grid.certify(grid.rollout(name).patch_number)

    # what this version asks in their course
    decision = release_testing.decision(grid, RELEASE_TEST)
    grid.as_user("release-manager").answer(decision, ["Release"], {"reason": None})
    for pilot, at in ((over, platinum), (going, gold)):
        pilot.report(at)
        pilot.decide("Release", guidelines="Dump the database before.")

    ended = {pilot.name: pilot.outcome() for pilot in (over, going, minor)}
    for dag, name in ((BC, CLIENT), (non_bc.DAG, NON_BC), (release_testing.DAG, RELEASE_TEST)):
        assert grid.ends(name, dag=dag) == "success", why_failed(grid.client, dag, name)
        ended[name] = grid.rollout(name).need(FactKind.ROLLOUT_CLOSED, "").payload["outcome"]
    # its configuration was described in prose only: a clean root could not tell, and that version had said so
    refused = grid.rollout(NON_BC).need(FactKind.RELEASE_REFUSED, "").payload["reasons"]
    assert (ended.pop(NON_BC), bool(refused)) == ("not released", True)
    assert set(ended.values()) == {"released"}, ended
    there = grid.services.tracker
    for name in ended:
        number = grid.rollout(name).patch_number
        grid.waits_for(f"the tracker on {name}", lambda n=number: there.patch(n).state is PatchState.IN_PRODUCTION)
    for name, vos in asked.items():
        assert all(f"{happy} ({vo})" in grid.notes(name) for vo in vos), name
    assert happy in grid.notes(CLIENT), "what a VO has told the version before"
    # the dump has no production: the grid of now has made it anew, which is seen; nothing else is wrong there
    reason = grid.rollout(NON_BC).progress(site).reason
    assert re.fullmatch(r"Probe production is CRITICAL: \S* ?production in \S+ is not what it was .*", reason), reason
    assert reason.count("Probe ") == 1, reason
    assert grid.ends(OVERRULE, dag="overrule_policies") == "success"
    assert grid.rollout(OVERRULE).need(FactKind.DECIDED, "").payload["decision"] == "not overruled"
    for run in sorted(tested):
        assert grid.ends(run, dag="pre_deployment_test") == "success"
    tests = grid.services.facts.rollouts(paths=["pre-deployment"])
    outcomes = [grid.rollout(test.name).need(FactKind.ROLLOUT_CLOSED, "").payload["outcome"] for test in tests]
    assert outcomes.count("passed") == len(tested) - 1, outcomes

    assert waiting(grid) == set()
    for dag in (MAJOR, MINOR, BC, non_bc.DAG, release_testing.DAG, "pre_deployment_test"):
        for run in runs_of(grid.client, dag):
            assert len(run["dag_versions"]) > 1, "the DAG of before was another one"
            states = {task.state for task in grid.client.tasks(dag, run["dag_run_id"])}
            assert states <= {"success", "skipped"}, (dag, run["dag_run_id"])
    stands_as_it_was(grid, before)
    nothing_happened_twice(grid)


def question_of(grid: Grid, dag: str, run: str) -> Any:
    (found,) = grid.waits_for(f"question of {run}", lambda: list(grid.client.questions(dag, run)))
    return found


def the_site_that_is_asked(grid: Grid, dag: str, run: str) -> str:
    return str(question_of(grid, dag, run).subject.partition(":")[0])


def answer(grid: Grid, user: str, choice: str, dag: str, run: str, **given: Any) -> None:
    question = question_of(grid, dag, run)
    grid.as_user(user).answer(question, [choice], form(question, **given))


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
