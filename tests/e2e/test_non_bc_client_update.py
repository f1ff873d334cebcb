"""SD 4.1.2 through a real Airflow: Silver partners configure, each at its own pace, people answer by REST."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.airflow_waits import labels_of, note_of
from tests.support.whole import Grid, far, grid  # noqa: F401

from pps.activities.people.effort import credits_on_record
from pps.domain.base.errors import AlreadyOpenError, RefusedError
from pps.domain.packages.patch import PatchState
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import SiteState
from pps.sandbox.airflow.configuration import administrator_of
from pps.sandbox.demo.play import answer_invitation
from pps.sandbox.grid.smtp import kept_mails

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh")]

DAG = "non_bc_client_update"
VARIABLE = "GLITE_SD_PLUGIN"


def silver(grid: Grid) -> list[str]:
    return sorted(s.name for s in grid.services.config.sites.values() if "Silver" in s.partner_levels)


def configure(grid: Grid, site: str, tarball: str, text: str) -> None:
    """What a site's administrator does there, with an editor."""
    folder = Path(f"{grid.services.config.site(site).preview_root}/{tarball}.local")
    folder.mkdir(exist_ok=True)
    (folder / "pps.sh").write_text(text)


@pytest.mark.sd("4.1.2")
def test_silver_partners_configure_at_their_own_pace_and_the_release_waits_for_the_deployment_test(grid: Grid) -> None:
    steps = f"Set {VARIABLE} to the service to ask.\n\n```sh\necho '{VARIABLE}=file' >>/etc/environment\n```\n"
    patch = grid.offers(4721, "3.7.1", new_variables=(VARIABLE,), special_configuration=steps)
    name = run = grid.start(patch.number, DAG, feedback_until=far())
    quick, declines, silent = silver(grid)
    asked = {site: grid.question(DAG, run, site) for site in (quick, declines, silent)}
    assert set(labels_of(grid.client, DAG, run, "site.configure").values()) == set(asked), "before their answers"
    tarball = grid.rollout(name).need(FactKind.TARBALL_BUILT, "").payload["name"]
    assert VARIABLE in asked[quick].body
    assert f"{tarball}.local" in asked[quick].body

    # nobody answers for somebody else, also not the coordination; nothing half-filled is stored
    for user in (administrator_of(declines), "pps-coordinator", "release-manager", "viewer"):
        with pytest.raises(RefusedError):
            grid.as_user(user).answer(asked[quick], ["Configured"], {"settings": f"{VARIABLE}=x", "remarks": None})
    admin = grid.as_user(administrator_of(quick))
    where = f"api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/{asked[quick].task}/{asked[quick].map_index}/hitlDetails"
    for form in ({"settings": 7, "remarks": None}, {"settings": "x"}, {"settings": "x", "remarks": None, "more": 1}):
        answer = admin.request("PATCH", where, json={"chosen_options": ["Configured"], "params_input": form})
        assert answer.status_code == 422, answer.text

    # an answer that does not say what was set is not taken, and not even stored: the very question still waits
    with pytest.raises(RefusedError, match=f"does not say how {VARIABLE} was set"):
        admin.answer(asked[quick], ["Configured"], {"settings": "done", "remarks": None})
    configure(grid, quick, tarball, f"export {VARIABLE}=file\n")
    admin.answer(asked[quick], ["Configured"], {"settings": f"{VARIABLE}=file", "remarks": "as in production"})
    with pytest.raises((AlreadyOpenError, RefusedError)):
        admin.answer(asked[quick], ["Configured"], {"settings": f"{VARIABLE}=other", "remarks": None})

    # the deployment test was started beside it; a member site's people answer their scenario
    member = grid.member_site()
    asked_member = grid.question("pre_deployment_test", "~", "Deployment test")
    with pytest.raises(RefusedError):
        grid.as_user(administrator_of(quick)).answer(asked_member, ["Pass"], {"report": "", "log": ""})
    grid.as_user(administrator_of(member)).answer(asked_member, ["Pass"], {"report": "With torque.", "log": ""})

    # its tag comes, and the VOs are told, while the others have not answered at all
    grid.waits_for("the quick site", lambda: grid.states(name)[quick] is SiteState.AVAILABLE)
    grid.waits_for_fact(name, FactKind.BROADCAST_QUEUED)
    assert grid.seen_tags(name) == {quick}
    assert not any(f.subject == silent and f.kind is FactKind.SITE_LEFT_OUT for f in grid.rollout(name).facts)

    grid.as_user(administrator_of(declines)).answer(
        asked[declines], ["Cannot configure it"], {"settings": None, "remarks": "No such service here."}
    )
    grid.waits_for("the site that declines", lambda: grid.states(name)[declines] is SiteState.LEFT_OUT)
    assert "No such service here" in grid.rollout(name).progress(declines).reason

    # silence: left out at its own deadline, and told so
    grid.waits_for("the silent site", lambda: grid.states(name)[silent] is SiteState.LEFT_OUT)
    contact = grid.services.config.site(silent).contact
    grid.waits_for("its mail", lambda: [m for m in kept_mails(grid.mails, to=contact) if "left out" in m.subject], 120)

    for vo in ("atlas", "cms", "lhcb", "biomed"):
        said = f"Fine for {vo}."
        assert grid.waits_for(vo, lambda vo=vo, said=said: answer_invitation(grid.mails, vo, "works", said))
    grid.certify(patch.number)
    grid.waits_for_fact(name, FactKind.RELEASE_NOTES_WRITTEN)

    test = grid.services.facts.rollouts(paths=["pre-deployment"])[0].name
    assert not grid.rollout(name).has(FactKind.RELEASED_TO_PRODUCTION)
    assert grid.ends(run, dag=DAG, within_s=240) == "success"
    outcome = grid.rollout(test).need(FactKind.ROLLOUT_CLOSED, "").payload["outcome"]
    assert outcome == "passed", [f.payload for f in grid.rollout(test).facts if f.kind is FactKind.SCENARIO_ENDED]
    assert grid.services.tracker.patch(patch.number).state is PatchState.IN_PRODUCTION
    assert "Deployment test" in grid.notes(name)
    assert "Fine for lhcb." in grid.notes(name)
    assert set(grid.mails_of(name).values()) == {1}
    assert labels_of(grid.client, DAG, run, "distribute_client") == {0: "silver-1: 3 reached"}
    for task in ("publish_tag", "wait_for_tag", "update_release_bulletin"):
        called = set(labels_of(grid.client, DAG, run, f"site.{task}").values())
        assert called == (
            {f"{quick}: 1 tagged", f"{declines}: 0 tagged", f"{silent}: 0 tagged"}
            if task == "publish_tag"
            else set(asked)
        )
    note = note_of(grid.client, DAG, run)
    assert note.startswith(f"▸ {name} (released): 1 of 3 sites reached; 2 left out: "), note
    assert "No such service here" in note
    credited = {(c.activity, c.who) for c in credits_on_record(grid.services.facts)}
    assert credited >= {("local-configuration", quick), ("deployment-scenario", member)}


@pytest.mark.sd("4.1.2")
def test_a_site_that_says_it_is_configured_but_is_not_fails_its_local_tests(grid: Grid) -> None:
    patch = grid.offers(4722, "3.7.2", new_variables=(VARIABLE,))
    name = run = grid.start(patch.number, DAG)
    site = silver(grid)[0]
    asked = grid.question(DAG, run, site)
    grid.as_user(administrator_of(site)).answer(
        asked, ["Configured"], {"settings": f"{VARIABLE}=file", "remarks": None}
    )
    grid.waits_for("the probes", lambda: grid.states(name)[site] is SiteState.NOT_ANNOUNCED)
    assert f"does not set {VARIABLE}" in grid.rollout(name).progress(site).reason
    assert site not in grid.seen_tags(name)
    grid.certify(patch.number, PatchState.REJECTED)
    grid.waits_for("the end", lambda: grid.rollout(name).is_closed)


@pytest.mark.sd("4.1.3")
def test_one_role_alone_overrules_nothing(grid: Grid) -> None:
    why = "A hole in the proxy renewal is exploited."
    cases = {"refuses": 4723, "is silent": 4724, "is the same person": 4725}
    patches = {second: grid.offers(number, f"3.3.{number}") for second, number in cases.items()}
    runs = {
        second: grid.start(patch.number, "overrule_policies", urgency="urgent", reason=why)
        for second, patch in patches.items()
    }
    for second, run in runs.items():
        emt = grid.question("overrule_policies", run, "EMT")
        coordination = grid.question("overrule_policies", run, "PPS Coordinator")
        with pytest.raises(RefusedError):
            grid.as_user("pps-coordinator").answer(emt, ["Agree"], {"remarks": None})
        grid.as_user("emt").answer(emt, ["Agree"], {"remarks": None})
        if second == "refuses":
            grid.as_user("pps-coordinator").answer(coordination, ["Refuse"], {"remarks": "Not exploitable here."})
        if second == "is the same person":
            # even an Admin does not answer for a role that is not theirs
            with pytest.raises(RefusedError):
                grid.as_user("admin").answer(coordination, ["Agree"], {"remarks": None})
            with pytest.raises(RefusedError):
                grid.as_user("emt").answer(coordination, ["Agree"], {"remarks": None})
    for second, run in runs.items():
        number = patches[second].number
        assert grid.ends(run, dag="overrule_policies", within_s=240) == "success"
        record = grid.rollout(run)
        assert record.need(FactKind.DECIDED, "").payload["decision"] == "not overruled", second
        assert not record.has(FactKind.RELEASE_NOTES_WRITTEN), second
        assert not record.has(FactKind.TASK_FAILED), second
        assert not grid.services.facts.dossier(number).has(FactKind.POLICIES_OVERRULED), second
        assert grid.services.tracker.patch(number).state is PatchState.IN_CERTIFICATION, second


@pytest.mark.sd("4.1.3")
def test_high_priority_goes_straight_to_production_and_the_preview_follows(grid: Grid) -> None:
    patch = grid.offers(4726, "3.4.1")
    why = "The service is broken at every site since the last update."
    conf = {"patch": patch.number, "urgency": "high priority", "reason": why}
    for user in ("viewer", "vo-representative", administrator_of(silver(grid)[0])):
        with pytest.raises(RefusedError):
            grid.as_user(user).trigger("overrule_policies", conf)
    name = run = grid.as_user("emt").trigger("overrule_policies", conf)
    for role, user in (("EMT", "emt"), ("PPS Coordinator", "pps-coordinator")):
        grid.as_user(user).answer(grid.question("overrule_policies", run, role), ["Agree"], {"remarks": None})
    grid.waits_for_fact(name, FactKind.RELEASED_TO_PRODUCTION)
    there = grid.services.tracker
    grid.waits_for("the tracker to be told", lambda: there.patch(patch.number).state is PatchState.IN_PRODUCTION)
    assert why in grid.notes(name)
    assert "EMT and PPS Coordinator" in grid.notes(name)  # by their roles: whose names these are concerns nobody else
    assert grid.ends(run, dag="overrule_policies") == "success"

    # the preview is synchronised afterwards, waits for nobody, and sends the release to nobody twice
    preview = f"bc-client-{patch.number}-1"
    grid.waits_for_fact(preview, FactKind.ROLLOUT_CLOSED)
    assert grid.rollout(preview).need(FactKind.ROLLOUT_CLOSED, "").payload["outcome"] == "synchronised"
    assert SiteState.AVAILABLE in grid.states(preview).values()
    assert set(grid.mails_of(name).values()) == {1}


@pytest.mark.sd("4.1.3")
def test_urgent_ends_the_waiting_of_a_run_that_is_under_way(grid: Grid) -> None:
    patch = grid.offers(4727, "3.4.2")
    name = run = grid.start(patch.number, feedback_until="2099-01-01T00:00:00+00:00")
    grid.waits_for("the invitations", lambda: any(f.kind is FactKind.VO_INVITED for f in grid.rollout(name).facts))
    why = "A disclosed vulnerability: the proxy can be read by others."
    joint = grid.start(patch.number, "overrule_policies", urgency="urgent", reason=why)
    for role, user in (("EMT", "emt"), ("PPS Coordinator", "pps-coordinator")):
        grid.as_user(user).answer(grid.question("overrule_policies", joint, role), ["Agree"], {"remarks": None})
    assert grid.ends(joint, dag="overrule_policies") == "success"
    assert not grid.rollout(joint).has(FactKind.TASK_FAILED)
    assert grid.ends(run) == "success"
    assert grid.services.tracker.patch(patch.number).state is PatchState.IN_PRODUCTION
    assert "THE POLICIES WERE OVERRULED" in grid.notes(name)
    assert "no feedback" in grid.notes(name).lower()
