"""SD 4.1.3 and 4.1.4 through a real Airflow: server pilots from the request to the end, people by REST."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from urllib.parse import urlsplit

import psutil
import pytest
from tests.support.answering import AirflowsForm, as_options, pps
from tests.support.browser import Browser, browser  # noqa: F401
from tests.support.whole import Grid, grid  # noqa: F401
from tests.support.whole_pilots import MAJOR, MINOR, PilotRun, form, partner, server

from pps.activities.people.effort import credits_on_record
from pps.activities.pilots import set_up
from pps.adapters.services.templates import when
from pps.cli.people.tasks import key_of
from pps.domain.base.errors import RefusedError
from pps.domain.packages.patch import PatchState
from pps.domain.people import questions
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import PartnerLevel
from pps.sandbox.airflow.configuration import administrator_of
from pps.sandbox.demo.play import answer_invitation
from pps.sandbox.grid.pilot_service import ServiceAction
from pps.sandbox.grid.smtp import kept_mails, read_mail
from pps.workflow.answers import Place

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh")]


@pytest.mark.sd("4.1.3")
@pytest.mark.needs("browser")
def test_a_minor_pilot_without_vos_goes_from_request_to_production(grid: Grid, browser: Browser) -> None:
    site = partner(grid, PartnerLevel.GOLD)
    patch = server(grid, 4751, "3.2.0")
    with pytest.raises(RefusedError):
        PilotRun.asked_for(grid, MINOR, "viewer", patch)
    pilot = PilotRun.asked_for(grid, MINOR, "emt", patch).kicked_off(site, run_for="5s")
    pilot.member_site_passes()

    # a slip that only a look at the service shows: `pps` waits for it, and the site is told once
    admin, asked = administrator_of(site), pilot.question(site)
    service = grid.control.act_on_service(site, ServiceAction.UPGRADE, "3.2.0")["service"]
    address = urlsplit(service["endpoint"])
    closed = address._replace(netloc=f"{address.hostname}:9").geturl()
    fields = {"endpoint": closed, "version": "3.2.0", "previous": service["previous"] or ""}
    said = pps(grid, admin, "tasks", "answer", key_of(asked), "set up", *as_options(fields))
    assert said.exit_code == 1, said.output
    assert "Not taken: " in said.stderr and ":9" in said.stderr, said.output
    again = pilot.question(site)
    assert again.body.startswith("**Your answer of "), again.body
    assert again.params["endpoint"]["value"] == closed
    (refusal,) = questions.refusals(grid.rollout(pilot.name), set_up.STEP, site)
    asked_at = Place.read(refusal.link)
    assert asked_at is not None and "/pps/tasks/" in refusal.link, "people are led to our own page"
    contact = grid.services.config.site(site).contact

    def told() -> list[str]:
        about = (m.subject for m in kept_mails(grid.mails, to=contact) if patch.version in m.subject)
        return [subject for subject in about if "Not taken" in subject or "not seen yet" in subject]

    grid.waits_for("its mail", told)

    # in Airflow's own form: what was typed stands there, with the reason; what the form alone shows is said at once
    page = AirflowsForm(browser, grid, admin, f"{grid.client.url.rstrip('/')}/{asked_at.form}")
    assert "Your answer of " in page.says() and refusal.reasons[0] in page.says(), page.says()
    assert page.holds("endpoint") == closed
    page.types("endpoint", service["endpoint"])
    page.types("version", "3.1.9")
    page.answers("Set up")
    browser.wait(page.refusal)
    assert "Version 3.1.9 was installed; the pilot's is 3.2.0." in (page.refusal() or "")
    assert (page.holds("endpoint"), page.holds("version")) == (service["endpoint"], "3.1.9"), "nothing typed is lost"
    page.types("version", "3.2.0")
    page.answers("Set up")
    browser.wait(lambda: page.refusal() is None)
    pilot.waits_for(FactKind.SERVICE_SET_UP)
    assert questions.refusals(grid.rollout(pilot.name), set_up.STEP, site) == (refusal,), "the second was not stored"
    assert len(told()) == 1

    pilot.waits_for(FactKind.RUN_ENDED)
    report = pilot.question(site)
    mine = json.loads(pps(grid, admin, "tasks", "list", "--mine", "--json").output)
    due = {task["task"]: task["due"] for task in mine}[key_of(report)]
    assert when(datetime.fromisoformat(due)) in report.subject, "the headline says until when"
    assert key_of(report) not in pps(grid, "emt", "tasks", "list", "--mine").output
    filled = {"resources": "As before.", "stability": "No restart."}
    said = pps(grid, admin, "tasks", "answer", key_of(report), report.options[0], *as_options(filled))
    assert said.exit_code == 0 and "The answer was taken." in said.output, said.output
    pilot.decide("Release", reason="It ran without an incident.")
    assert pilot.outcome() == "released"
    assert grid.services.tracker.patch(patch.number).state is PatchState.IN_PRODUCTION


@pytest.mark.sd("4.1.3")
def test_a_pilot_that_is_rolled_back_is_wrapped_up_all_the_same(grid: Grid) -> None:
    site = partner(grid, PartnerLevel.GOLD)
    patch = server(grid, 4753, "3.2.2")
    pilot = PilotRun.asked_for(grid, MINOR, "emt", patch).kicked_off(site, run_for="1d")
    pilot.set_up(site, "3.2.2")

    body = {"site": site, "reason": "It answers no more under load."}
    path = f"pps/api/v1/rollouts/{pilot.name}/roll-back"
    refused = grid.as_user("vo-representative").request("POST", path, json=body)
    assert refused.status_code == 422, "only the site and the coordination"
    asked = grid.as_user(administrator_of(site)).request("POST", path, json=body)
    assert asked.status_code < 300, asked.text
    question = grid.question(MINOR, pilot.run, site, 180)
    before = grid.control.act_on_service(site, ServiceAction.ROLL_BACK)["service"]["version"]
    grid.as_user(administrator_of(site)).answer(question, ["Rolled back"], form(question, version=before))
    pilot.waits_for(FactKind.SERVICE_ROLLED_BACK)
    pilot.waits_for(FactKind.RUN_ENDED)
    pilot.report(site)
    pilot.decide("Reject", reason="It goes back to the developers.")
    assert pilot.outcome() == "rejected"
    assert not grid.rollout(pilot.name).has(FactKind.RELEASED_TO_PRODUCTION)
    assert grid.services.tracker.patch(patch.number).state is not PatchState.IN_PRODUCTION


def kill_airflow(grid: Grid) -> None:
    """Scheduler, triggerer and api-server at once, as a machine's power cut does; they are started again."""
    airflow = grid.installation.airflow
    assert airflow is not None
    killed = {component: airflow.pid(component) for component in ("scheduler", "triggerer", "api-server")}
    for process in killed.values():
        psutil.Process(process).kill()
    grid.waits_for(
        "the restart",
        lambda: all(airflow.pid(name) not in (None, was) for name, was in killed.items()) and airflow.health().is_good,
    )


@pytest.mark.sd("4.1.3")
def test_a_major_pilot_of_two_rounds_over_a_restart_has_another_vo_in_each_round(grid: Grid) -> None:
    """As the CREAM pilot of 2008 had. The restart loses nothing, and repeats no mail, credit or journal entry."""
    site = partner(grid, PartnerLevel.GOLD)
    patch = server(grid, 4752, "3.2.1", component_parameters=("cream.conf:max_jobs",))
    first = PilotRun.asked_for(grid, MAJOR, "vo-representative", patch, vo="cms")
    first.kicked_off(site, vos="cms", run_for="25s", feedback_within="5m")
    journal, text = f"pps/api/v1/rollouts/{first.name}/journal", "We upgrade it at noon."
    written = grid.as_user(administrator_of(site)).request("POST", journal, json={"site": site, "text": text})
    assert written.status_code == 201, written.text
    grid.waits_for("its mail", lambda: [m for m in kept_mails(grid.mails) if text in m.subject])
    first.say_set_up(site, "3.2.1")
    kill_airflow(grid)  # in the instant in which an answer is taken
    first.waits_for(FactKind.VO_INVITED, 400)
    # the run may be over by now, and its report asked for; the set-up is not asked for again
    asked = [q for q in questions.questions(grid.rollout(first.name)) if (q.step, q.subject) == (set_up.STEP, site)]
    assert len(asked) == 1
    assert not [q for q in grid.client.questions(MAJOR, first.run) if q.task.endswith("set_up")]

    told = "Proxies are not renewed."
    grid.waits_for("the answer of cms", lambda: answer_invitation(grid.mails, "cms", "problem", told) == 201)
    first.report(site)
    first.decide("Prolong", reason="ATLAS tries the fix.", prolong_for="8s")
    assert first.outcome(240) == "prolonged"

    name = f"major-pilot-{patch.number}-2"
    opened = grid.waits_for("the second round", lambda: grid.rollout(name).opened)
    second = PilotRun(grid, MAJOR, opened["run"].partition("/")[2], name)
    second.coordinate("Agreed", "agree_at_kick_off", vos="atlas", run_for="8s", feedback_within="5m")
    second.waits_for(FactKind.VO_INVITED)
    happy = "A million jobs in three days."
    grid.waits_for("the answer of atlas", lambda: answer_invitation(grid.mails, "atlas", "works", happy) == 201)
    second.report(site)
    second.decide("Release")
    assert second.outcome() == "released"
    assert happy in grid.notes(name)
    assert grid.services.tracker.patch(patch.number).state is PatchState.IN_PRODUCTION

    rounds = [grid.rollout(pilot.name) for pilot in (first, second)]
    assert [{f.subject for f in r.facts if f.kind is FactKind.VO_INVITED} for r in rounds] == [{"cms"}, {"atlas"}]
    about = (patch.version, first.name, second.name)
    letters = [m for m in kept_mails(grid.mails) if any(name in m.subject for name in about)]
    told_once = Counter((m.recipients, m.subject, str(read_mail(grid.mails, m).get_body(("plain",)))) for m in letters)
    assert set(told_once.values()) == {1}, "no mail twice"
    for record in rounds:
        entries = Counter((f.subject, str(f.payload)) for f in record.facts if f.kind is FactKind.JOURNAL_ENTRY)
        assert set(entries.values()) <= {1}, "no journal entry twice"
    assert text in {f.payload["text"] for f in rounds[0].facts if f.kind is FactKind.JOURNAL_ENTRY}
    names = {pilot.name for pilot in (first, second)}
    credits = [c for c in credits_on_record(grid.services.facts) if c.rollout in names]
    done = Counter((c.rollout, c.activity, c.who) for c in credits)
    assert set(done.values()) == {1}, "no credit twice"


@pytest.mark.sd("4.1.4")
def test_a_non_bc_update_runs_at_a_platinum_site_and_silence_of_its_vo_stands_in_the_release_notes(grid: Grid) -> None:
    site = partner(grid, PartnerLevel.PLATINUM)
    patch = server(grid, 4754, "4.0.0", database_schema_changed=True, component_parameters=("lb.conf:purge_after",))
    pilot = PilotRun.asked_for(grid, MAJOR, "vo-representative", patch, vo="lhcb")
    pilot.coordinate("Accept", "accept_request")
    gold = partner(grid, PartnerLevel.GOLD)
    with pytest.raises(RefusedError, match=f"candidates.*{gold}|{gold}.*candidates"):
        pilot.coordinate("Select", "select_sites", sites=gold)
    assert not grid.rollout(pilot.name).has(FactKind.SITES_SELECTED), "a Gold partner runs no such update"
    pilot.coordinate("Select", "select_sites", sites=site)
    silence = {"set_up_within": "3m", "run_for": "5s", "feedback_within": "8s"}  # the VO is heard until both are over
    pilot.coordinate("Agreed", "agree_at_kick_off", vos="lhcb", **silence)
    pilot.member_site_passes()
    pilot.set_up(site, "4.0.0")
    pilot.report(site)
    pilot.decide("Release", guidelines="Dump the database before.")
    assert pilot.outcome() == "released"
    notes = grid.notes(pilot.name)
    assert "NO FEEDBACK FROM USERS was received" in notes
    assert "It changes the database schema." in notes
    assert "Dump the database before." in notes


@pytest.mark.sd("4.1.3")
def test_a_pilot_that_is_overruled_for_a_vulnerability_waits_for_no_vo_and_no_deployment_test(grid: Grid) -> None:
    site = partner(grid, PartnerLevel.GOLD)
    patch = server(grid, 4755, "3.2.4", component_parameters=("wms.conf:proxy_mode",))
    pilot = PilotRun.asked_for(grid, MAJOR, "vo-representative", patch, vo="biomed")
    pilot.kicked_off(site, vos="biomed", run_for="1d", feedback_within="2d")
    pilot.set_up(site, "3.2.4")
    why = "A disclosed vulnerability: anybody can read everybody's proxies."
    joint = grid.as_user("emt").trigger(
        "overrule_policies", {"patch": patch.number, "urgency": "urgent", "reason": why}
    )
    for role, user in (("EMT", "emt"), ("PPS Coordinator", "pps-coordinator")):
        grid.as_user(user).answer(grid.question("overrule_policies", joint, role), ["Agree"], {"remarks": None})
    assert grid.ends(joint, dag="overrule_policies") == "success"

    assert grid.services.tracker.patch(patch.number).state is PatchState.IN_PRODUCTION
    assert why in grid.notes(joint)

    path = f"pps/api/v1/rollouts/{pilot.name}/success"
    body = {"reason": "It is the fix, and it runs."}
    assert grid.as_user("viewer").request("POST", path, json=body).status_code == 422
    said = grid.as_user("pps-coordinator").request("POST", path, json=body)
    assert said.status_code < 300, said.text
    pilot.report(site)
    pilot.decide("Release")
    assert pilot.outcome() == "synchronised"
    assert why in grid.notes(pilot.name)
    told = Counter(
        m.recipients
        for m in kept_mails(grid.mails)
        if m.subject.startswith(f"In production: {patch.metapackage} {patch.version}")
    )
    assert set(told.values()) == {1}, "it is announced once"
