"""SD 4.1.1 through a real Airflow: given a grid, when a patch is rolled out, then the world is as it should be.

One installation (12 sites of which three fail on purpose) serves all scenarios; each has a patch of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from tests.support.airflow_waits import labels_of, note_of, write_note
from tests.support.quality_by_hand import Number
from tests.support.quality_twice import agrees, bare
from tests.support.secrets_in_logs import found_in, logs_of, secrets_of
from tests.support.whole import BC, VOS, Grid, far, grid  # noqa: F401
from typer.testing import CliRunner

from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.base.errors import AlreadyOpenError, RefusedError
from pps.domain.packages.patch import PatchState
from pps.domain.people.feedback import feedback_due
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import FAILURES, SiteState
from pps.sandbox.demo.play import answer_invitation
from pps.sandbox.grid.landscape import Fault
from pps.sandbox.grid.smtp import kept_mails, read_mail

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh")]


@pytest.mark.sd("4.1.1")
def test_a_client_patch_reaches_the_sites_and_production_though_sites_fail_and_a_worker_is_killed(grid: Grid) -> None:
    patch = grid.offers(4711, "3.1.23")
    slow = next(
        s["name"]
        for s in grid.control.status()["sites"]
        if not s["faults"] and not s["canary"] and s["accepts_previews"]
    )
    grid.control.break_site(slow, Fault.SLOW)

    name = run = grid.start(patch.number, feedback_until=far())
    with pytest.raises(AlreadyOpenError, match="being rolled out"):
        grid.waits_for_fact(name, FactKind.ROLLOUT_OPENED)
        grid.start(patch.number)

    # a worker is killed in the middle of the fleet's distribution
    def fleet_is_under_way() -> bool:
        record = grid.rollout(name)
        return record.has(FactKind.GATE_PASSED) and any(
            f.kind is FactKind.PREVIEW_INSTALLED and f.occasion.startswith("fleet") for f in record.facts
        )

    grid.waits_for("the fleet's distribution", fleet_is_under_way)
    assert grid.rollout(name).progress(slow).state is SiteState.PLANNED
    assert _kill_who_speaks_ssh() >= 1
    grid.control.repair_site(slow)
    grid.waits_for_fact(name, FactKind.FEEDBACK_DATE_AGREED)
    tries = {t.task: t.try_number for t in grid.client.tasks(BC, run) if t.task == "fleet.distribute_client"}
    assert max(tries.values()) == 2

    # every good site announces the preview, every bad one is shown with its reason
    states = grid.states(name)
    assert {site for site, state in states.items() if state in FAILURES} == set(grid.faulty)
    assert grid.seen_tags(name) == {site for site, state in states.items() if state is SiteState.AVAILABLE}
    assert len(grid.seen_tags(name)) == 12 - 3 - 3  # three fail; other platform, not opted in, no production site
    reasons = {site: grid.rollout(name).progress(site).reason for site in grid.faulty}
    for site, fault in grid.faulty.items():
        assert {"quota": "quota or disk full", "unreachable": "cannot be reached", "profile": "grid-env"}[
            fault
        ] in reasons[site]

    # Airflow is green, and says all the same how many sites are not: by the names of tasks, and by the run's note
    record = grid.rollout(name)
    plan = record.need(FactKind.PLAN_AGREED, "").payload["batches"]
    groups = ("canary", "fleet", "stragglers")
    labels = [labels_of(grid.client, BC, run, f"{group}.distribute_client") for group in groups]
    told = [_told(label) for found in labels for label in found.values() if ": " in label]
    assert {batch: sum(said.values()) for batch, said in told if batch in plan} == {
        batch: len(sites) for batch, sites in plan.items()
    }
    # a site that keeps its batch waiting, as one that nobody answers at may, is in a last batch of its own
    assert sum(said["not yet"] for _, said in told) == sum(sum(said.values()) for b, said in told if b not in plan)
    assert (sum(said["reached"] for _, said in told), sum(said["failed"] for _, said in told)) == (7, 2)
    assert set(labels_of(grid.client, BC, run, "fleet.wait_for_tag").values()) == set(plan) - {"canary"}
    (line,) = note_of(grid.client, BC, run).splitlines()
    ill = next(site for site, fault in grid.faulty.items() if fault == "profile")
    assert states[ill] is SiteState.NOT_ANNOUNCED
    assert line.startswith(f"▸ {name} (preview): 7 of 9 sites reached; 2 failed: ")
    assert f"; 1 installed, but not announced: {ill} (" in line
    assert "quota or disk full" in line
    write_note(grid.as_user("admin"), BC, run, "The disk is being replaced.")

    # who has mended the cause need not wait for the night
    mended = next(site for site, fault in grid.faulty.items() if fault == "quota")
    grid.control.repair_site(mended)
    tried = CliRunner().invoke(app, ["rollout", "retry", name, "--site", mended, "--json"], obj=_front(grid))
    assert (tried.exit_code, tried.stderr) == (0, "")
    found = json.loads(tried.stdout)
    assert (found["run_state"], found["sites"][0]["state"]) == ("success", "available")
    assert found["sites"][0]["before"] == "failed"
    assert mended in grid.seen_tags(name)
    assert "8 of 9 sites reached; 1 failed: " in note_of(grid.client, "retry_sites", found["run_id"])
    again = labels_of(grid.client, "retry_sites", found["run_id"], "preview.distribute_client")
    assert again == {0: f"{name}, retry-1: 1 reached"}
    refused = CliRunner().invoke(app, ["rollout", "retry", name, "--site", mended], obj=_front(grid))
    assert (refused.exit_code, "has the preview, and it is available" in " ".join(refused.stderr.split())) == (1, True)
    with pytest.raises(RefusedError):
        grid.as_user("emt").trigger("retry_sites", {"rollout": name})
    past_the_cli = grid.client.trigger("retry_sites", {"rollout": name, "sites": [mended]})
    assert grid.ends(past_the_cli, dag="retry_sites") == "failed", "the step asks the rules, too"

    # a site that recovers, and one that loses its preview, are served by the night; a second night changes nothing
    recovers = next(site for site, fault in grid.faulty.items() if fault == "unreachable")
    loses = slow
    grid.control.repair_site(recovers)
    grid.control.wipe_site(loses)
    grid.night()
    grid.waits_for("the recovered site", lambda: grid.states(name)[recovers] is SiteState.AVAILABLE, 120)
    assert grid.states(name)[loses] is SiteState.AVAILABLE
    assert {recovers, loses} <= grid.seen_tags(name)
    lost = [f.kind for f in grid.rollout(name).facts if f.subject == loses]
    assert lost.index(FactKind.TAG_REMOVED) < lost.index(FactKind.PREVIEW_LOST)
    before = grid.rollout(name).facts
    grid.night()
    assert [f for f in grid.rollout(name).facts[len(before) :] if f.kind is not FactKind.NIGHT_PLANNED] == []

    # all VOs answer over their own link, so nobody waits for tomorrow
    for vo in VOS:
        assert grid.waits_for(
            f"invitation of {vo}", lambda vo=vo: answer_invitation(grid.mails, vo, "works", f"Fine for {vo}.")
        )
    grid.waits_for_fact(name, FactKind.RELEASE_NOTES_WRITTEN)
    assert "Fine for lhcb." in grid.notes(name)

    grid.certify(patch.number)
    assert grid.ends(run) == "success"
    assert grid.services.tracker.patch(patch.number).state is PatchState.IN_PRODUCTION
    theirs, _, ours = note_of(grid.client, BC, run).splitlines()
    assert theirs == "The disk is being replaced."
    assert ours.startswith(f"▸ {name} (released): 9 of 9 sites reached; 1 installed, but not announced: {ill} (")
    production = Path(grid.services.production_repository.path)
    assert len(list(production.rglob("*.deb"))) == len(patch.packages) + len(patch.externals)
    assert len(list(production.rglob("*.tar.gz"))) == 2
    beside = grid.rollout(name).need(FactKind.RELEASED_TO_PRODUCTION, "").payload
    bill = json.loads(
        (pages := Path(grid.services.publication_folder.root)).joinpath(beside["bill"]["file"]).read_text()
    )
    assert len(bill["components"]) == len(patch.packages) + len(patch.externals)
    assert pages.joinpath(beside["verification"]["file"]).read_text().count("PPS checked") == len(bill["components"])

    # killed worker, two nights and all: no mail twice
    ids = [read_mail(grid.mails, m)["Message-ID"] for m in kept_mails(grid.mails)]
    assert len(ids) == len(set(ids))
    assert set(grid.mails_of(name).values()) == {1}


@pytest.mark.sd("4.1.1")
def test_silence_is_reported_as_silence_and_a_special_configuration_keeps_the_release_from_production(
    grid: Grid,
) -> None:
    patch = grid.offers(4712, "3.1.24", special_configuration="Set GLITE_LOCAL_CUSTOMIZATION_DIR.")
    # a date that has passed before the sites are served, as in an outage, gives the VOs the usual time
    too_soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    name = run = grid.start(patch.number, feedback_until=too_soon)
    grid.waits_for_fact(name, FactKind.FEEDBACK_DATE_AGREED)
    assert grid.rollout(name).need(FactKind.FEEDBACK_DATE_AGREED, "").payload["instead_of"] == too_soon
    grid.certify(patch.number)
    assert grid.ends(run) == "success"
    due = feedback_due(grid.rollout(name))
    assert due and due < grid.rollout(name).need(FactKind.FEEDBACK_ENDED, "").at

    assert "no feedback" in grid.notes(name).lower()
    refused = grid.rollout(name).need(FactKind.RELEASE_REFUSED, "").payload["reasons"]
    assert "special configuration" in refused[0]
    assert grid.services.tracker.patch(patch.number).state is PatchState.CERTIFIED
    assert grid.rollout(name).is_closed

    # files that the sites have from the version before were linked, not sent again
    installed = [f.payload for f in grid.rollout(name).facts if f.kind is FactKind.PREVIEW_INSTALLED]
    assert {p["how"] for p in installed} == {"delta"}


@pytest.mark.sd("4.1.1")
def test_a_rejected_patch_is_withdrawn_at_once(grid: Grid) -> None:
    patch = grid.offers(4713, "3.1.25")
    name = run = grid.start(patch.number, feedback_until=far())
    grid.waits_for("invitations", lambda: any(f.kind is FactKind.VO_INVITED for f in grid.rollout(name).facts))
    assert grid.seen_tags(name)
    grid.certify(patch.number, PatchState.REJECTED)
    grid.ends(run)

    record = grid.rollout(name)
    assert record.is_stopped
    assert record.is_closed
    assert not record.has(FactKind.RELEASED_TO_PRODUCTION)
    assert SiteState.AVAILABLE not in grid.states(name).values()
    grid.waits_for("the tags' end in the information system", lambda: not grid.seen_tags(name), 120)
    assert any("Stopped" in subject for _, subject in grid.mails_of(name))


def test_a_paused_rollout_begins_no_further_batch_until_somebody_lets_it_go_on_and_its_page_can_withdraw_it(
    grid: Grid,
) -> None:
    patch = grid.offers(4715, "3.1.27")
    name = run = grid.start(patch.number, feedback_until=far())
    grid.waits_for_fact(name, FactKind.ROLLOUT_OPENED)

    def press(what: str, user: str = "release-manager") -> requests.Response:
        typed = {"do": what, "reason": "We look into the logs of the canaries first."}
        return grid.as_user(user).request("POST", f"pps/rollouts/{name}", data=typed)

    assert press("pause").status_code == 303
    grid.waits_for("the canaries' batch is parked", lambda: _state(grid, run, "canary.distribute_client") == "deferred")
    assert not grid.rollout(name).has(FactKind.PREVIEW_INSTALLED)
    tried = CliRunner().invoke(app, ["rollout", "resume", name, "--reason", "Ok"], obj=_front(grid))
    assert (tried.exit_code, "three words at least" in tried.stderr) == (1, True)
    assert press("resume", "emt").status_code == 422
    assert press("resume").status_code == 303
    grid.waits_for_fact(name, FactKind.FEEDBACK_DATE_AGREED)
    assert grid.seen_tags(name)

    # Airflow's rights decide who withdraws, though it is our page that starts the run
    assert press("withdraw", "emt").status_code == 403
    begun = press("withdraw")
    assert begun.status_code == 303
    _, _, begun_run = unquote(begun.headers["location"]).partition("withdraw_rollout/")
    assert grid.ends(begun_run, dag="withdraw_rollout") == "success"
    assert grid.rollout(name).withdrawal_is_finished
    grid.waits_for("the tags' end in the information system", lambda: not grid.seen_tags(name), 120)
    grid.ends(run)


def _state(grid: Grid, run: str, task: str) -> str | None:
    return next((t.state for t in grid.client.tasks(BC, run) if t.task == task), None)


def test_a_patch_that_may_not_be_previewed_is_refused_with_sentences(grid: Grid) -> None:
    patch = grid.offers(4714, "3.1.26")
    grid.services.tracker.set_flag(patch.number, "basic_certification_passed", False)
    run = grid.start(patch.number)
    assert grid.ends(run) == "failed"
    assert grid.services.facts.rollouts() == tuple(r for r in grid.services.facts.rollouts() if r.patch != patch.number)

    # and may be started again when it is in order
    grid.services.tracker.set_flag(patch.number, "basic_certification_passed", True)


def _told(label: str) -> tuple[str, Counter[str]]:
    """`fleet-1: 5 reached, 2 failed` as numbers."""
    batch, _, counts = label.partition(": ")
    return batch, Counter({word: int(number) for number, word in re.findall(r"(\d+) ([a-z ]+)", counts)})


def _front(grid: Grid) -> Front:
    """The command line of an operator of this installation."""
    front = Front(grid.services)
    front.__dict__["airflow"] = grid.client
    return front


def _kill_who_speaks_ssh() -> int:
    """Kill -9 the task processes of this test's Airflow that have ssh children."""
    killed = 0
    for process in psutil.Process().children(recursive=True):
        try:
            if "ssh" in [child.name() for child in process.children()]:
                process.kill()
                killed += 1
        except psutil.NoSuchProcess:
            continue
    return killed


def test_the_quality_of_all_that_has_happened_here_is_what_the_bare_facts_say(grid: Grid) -> None:
    store = grid.services.facts

    def numbers() -> dict[int, dict[str, Number]]:
        rows = bare(store)
        try:
            return agrees(store, rows)
        except AssertionError:
            if bare(store) == rows:
                raise
            return {}  # something was recorded meanwhile, and only one of the two knows it

    found = grid.waits_for("a moment in which nothing is recorded", numbers)
    assert {"measured", "not measured"} <= {value[0] for release in found.values() for value in release.values()}
    assert any(release["time-to-production"][0] == "measured" for release in found.values())
    assert any((release["withdrawn-previews"][2] or 0) > 0 for release in found.values())


def test_a_release_manager_signs_in_from_a_machine_of_their_own_and_reads_what_the_service_reads(
    grid: Grid, tmp_path: Path
) -> None:
    alone = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COLUMNS": "400"}  # no database, no configuration

    def typed(*words: str, stdin: str = "") -> str:
        command = [sys.executable, "-m", "pps.cli.main", *words]
        ran = subprocess.run(command, env=alone, cwd=tmp_path, input=stdin, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    password = grid.as_user("release-manager")._password
    said = typed("login", grid.client.url, "--user", "release-manager", stdin=f"{password}\n")
    assert "Signed in" in said and "Release Manager" in said
    assert password not in (tmp_path / ".config/pps/login.json").read_text()
    (ended, *_) = [r for r in grid.services.facts.rollouts() if r.closed_at]
    for words in (
        ("rollout", "list"),
        ("rollout", "show", ended.name, "--facts"),
        ("why", str(ended.patch)),
        ("sites", "list"),
        ("patches", "list"),
        ("credits",),
        ("mails", "outbox", ended.name),
    ):
        beside = CliRunner().invoke(app, [*words, "--json"], obj=Front(grid.services, grid.client.url))
        assert typed(*words, "--json") == beside.stdout, words
    assert "dry run" in typed("rollout", "withdraw", ended.name, "--reason", "It breaks proxies.", "--dry-run").lower()


def test_a_collector_with_the_token_reads_what_has_happened_here_and_how_the_night_ended(grid: Grid) -> None:
    grid.night()
    metrics, token = f"{grid.installation.url}/pps/metrics", grid.collectors_token

    def asked(shown: str) -> requests.Response:
        return requests.get(metrics, headers={"Authorization": f"Bearer {shown}"}, timeout=60)

    assert asked(f"{token}x").status_code in (401, 403)  # what Airflow says to a token that is none of its own
    assert requests.get(metrics, timeout=60).status_code == 401
    assert asked(grid.installation.airflow.token("viewer")).status_code == 200  # type: ignore[union-attr]
    found = {f.name: f.samples for f in text_string_to_metric_families(asked(token).text)}
    assert [s.value for s in found["pps_night_failed"]] == [0]
    assert 0 <= found["pps_night_seconds"][0].value < 3600
    assert {s.labels["part"]: s.value for s in found["pps_unread"]} == dict.fromkeys(
        ("rollouts", "outbox", "nights", "signatures", "last seen"), 0
    )
    ends = {s.labels["repositories"]: s.value for s in found["pps_signatures_valid_seconds"]}
    assert 10 * 86400 < ends["production"] <= 14 * 86400
    opened = sum(s.value for s in found["pps_rollouts_open"])
    assert opened == len(grid.services.facts.rollouts(open_only=True))
    seen = grid.waits_for("the tracker is asked", lambda: grid.services.facts.last_seen().get("tracker"))
    assert seen is not None
    assert seen.at is not None


def test_no_secret_of_this_installation_stands_in_any_log_of_all_that_has_happened_here(grid: Grid) -> None:
    logs, secrets = logs_of(grid.installation), secrets_of(grid.installation)
    names = {log.name for log in logs}
    assert {"api-server.log", "scheduler.log", "triggerer.log", "grid.log", "postgres.log"} <= names
    tasks = [log for log in logs if "dag_id=" in str(log)]
    assert any(b"bc-client-4711-1" in log.read_bytes() for log in tasks), "these are the logs of what was done"
    assert sum(name.startswith("invitation") for name in secrets) > 4
    assert found_in(logs, secrets) == []
    planted = logs[0].with_name("planted.log")
    planted.write_text(f"x{secrets['signing key']}x")
    assert found_in([planted], secrets) == [f"signing key in planted.log of {planted.parent}"]
