"""The deployment test of an update: opened, planned, run, told, closed; on a store, with roots that pretend."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.bad_input import HTML, JINJA, TEXTS
from tests.support.clean_roots import PretendedRepositories, PretendedRoots, fails
from tests.support.deployment_bench import TABLE, Bench, opened
from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, PATCH, PLATFORM, sqlite_store
from tests.support.examples import opened as preview
from tests.support.snapshots import matches_snapshot

from pps.activities.pilots.tickets import tell_tracker
from pps.activities.quality import deployment_tests
from pps.activities.quality.scenario_run import (
    LOG_CHARACTERS,
    configuration_steps,
    readable_log,
    telling_line,
    try_update,
)
from pps.activities.release import release
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import (
    AlreadyOpenError,
    NotYetAllowedError,
    PackageError,
    PatchNotFoundError,
    RefusedError,
    RolloutError,
    ServiceError,
)
from pps.domain.packages.patch import PatchState, Repository, RepositoryKind
from pps.domain.quality.scenarios import DeploymentOutcome, ScenarioResult, scenario_end
from pps.domain.record.facts import Fact, FactKind

STEPS = "Set the host:\n\n```sh\necho BDII_HOST=bdii >>/etc/grid.conf\n```\n\nThen ask your users.\n"


@pytest.fixture
def store() -> FactStore:
    return sqlite_store()


@pytest.fixture
def bench(store: FactStore, tmp_path: Path) -> Bench:
    return Bench(store, tmp_path)


# --- opening and planning


def test_a_test_that_the_rules_refuse_leaves_nothing_on_record(store: FactStore) -> None:
    with pytest.raises(RefusedError) as refusal:
        opened(store, replace(PATCH, state=PatchState.REJECTED), ())
    assert len(refusal.value.reasons) == 2
    assert store.rollouts(paths=("pre-deployment",)) == ()


def test_a_retry_of_the_same_run_finds_its_own_test_and_another_run_is_told_that_it_is_open(store: FactStore) -> None:
    first = opened(store)
    assert opened(store, replace(PATCH, state=PatchState.REJECTED)).name == first.name == "pre-deployment-4711-1"
    with pytest.raises(AlreadyOpenError):
        opened(store, run="r/2")


def test_a_test_runs_beside_a_preview_of_the_same_patch(store: FactStore) -> None:
    preview(store)
    assert opened(store).planned_sites == ()


def test_the_plan_stays_whatever_happens_to_the_table(bench: Bench) -> None:
    again = deployment_tests.plan_scenarios(at_desk(bench.record, bench.store, patch=PATCH, now=NOW, actor="pps"), ())
    assert again == TABLE


# --- the automatic runner


def test_a_scenario_that_passes_is_on_record_with_its_log_and_is_not_run_again(bench: Bench) -> None:
    assert bench.run() is ScenarioResult.PASS
    end = scenario_end(bench.record, "wn")
    assert end is not None
    assert end.payload["platform"] == str(PLATFORM)
    assert [s["step"] for s in end.payload["steps"]][:2] == ["look packages up", "make a clean root"]
    assert "voms-clients-2.1.0~rc3-3.amd64" in bench.log()
    assert "result: pass" in bench.log()
    asked = len(bench.roots.scripts)
    assert bench.run() is ScenarioResult.PASS
    assert len(bench.roots.scripts) == asked
    assert bench.roots.left == 1


def test_exactly_the_packages_of_the_patch_for_this_platform_are_installed_at_their_versions(bench: Bench) -> None:
    bench.run()
    (install,) = [s for s in bench.roots.scripts if "--no-download" in s]
    for package in ("voms-clients:amd64=2.1.0~rc3-3", "gfal2-util-scripts=1.8.0-2", "libgfal2-2:amd64=2.21.3-1"):
        assert package in install


@pytest.mark.parametrize(
    ("part", "output", "result", "says"),
    [
        (
            "APT::Color=0 -o Dir::Etc::sourceparts=-",
            "E: Failed to fetch",
            ScenarioResult.INCONCLUSIVE,
            "mirror cannot be read",
        ),
        ("sourcelist=/etc/apt/sources.list.d/pps-provider.list", "E: not signed", ScenarioResult.FAIL, "APT refuses"),
        ("--simulate", " x : Depends: y\nE: Unable to correct", ScenarioResult.FAIL, "cannot be installed together"),
        (
            "--download-only",
            "E: Failed to fetch http://mirror.example.org/x.deb",
            ScenarioResult.INCONCLUSIVE,
            "cannot be downloaded",
        ),
        (
            "--download-only",
            "E: Failed to fetch http://repository.example.org/debian/x.deb  404",
            ScenarioResult.FAIL,
            "cannot be downloaded",
        ),
        (
            "--no-download",
            "dpkg: error processing x:\n status 3\n",
            ScenarioResult.FAIL,
            "dpkg: error processing x: status 3",
        ),
        ("--no-download", "cp: No space left on device", ScenarioResult.INCONCLUSIVE, "No space left"),
        ("dpkg --audit", "x is only half configured", ScenarioResult.FAIL, "half configured"),
        ("dpkg-query", "CRITICAL: x is not installed", ScenarioResult.FAIL, "Not every package"),
        ("ldd", "CRITICAL: /usr/bin/x does not find liby.so", ScenarioResult.FAIL, "liby.so"),
    ],
)
def test_what_is_wrong_with_the_update_fails_and_what_is_wrong_with_the_machine_is_inconclusive(
    bench: Bench, part: str, output: str, result: ScenarioResult, says: str
) -> None:
    bench.roots.says[part] = fails(output)
    assert bench.run() is result
    end = scenario_end(bench.record, "wn")
    assert end is not None and says in end.payload["reason"]
    assert end.payload["steps"][-1]["ok"] is False
    assert bench.roots.left == 1


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (ServiceError("repository", "does not answer.", "Try again."), ScenarioResult.INCONCLUSIVE),
        (PackageError("repository", "does not have voms-clients."), ScenarioResult.FAIL),
    ],
)
def test_a_repository_that_is_down_says_nothing_about_the_update_and_a_missing_package_does(
    bench: Bench, error: Any, result: ScenarioResult
) -> None:
    bench.repositories.error = error
    assert bench.run() is result
    assert bench.roots.scripts == []


def test_a_machine_that_cannot_is_inconclusive_and_says_what_to_do_and_is_asked_again(bench: Bench) -> None:
    bench.roots.impossible = "This machine lacks mmdebstrap. On Debian: apt-get install mmdebstrap"
    assert bench.run() is ScenarioResult.INCONCLUSIVE
    end = scenario_end(bench.record, "wn")
    assert end is not None and "apt-get install mmdebstrap" in end.payload["reason"]
    bench.roots.impossible = ""
    assert bench.run() is ScenarioResult.PASS
    assert [f.occasion for f in bench.record.facts if f.kind is FactKind.SCENARIO_ENDED] == ["", "2"]


def test_a_patch_that_has_changed_since_the_test_began_is_not_judged_by_it(bench: Bench) -> None:
    assert bench.run(patch=replace(PATCH, special_configuration=STEPS)) is ScenarioResult.INCONCLUSIVE


def test_a_yum_repository_is_not_for_our_runner(store: FactStore, tmp_path: Path) -> None:
    patch = replace(PATCH, repository=Repository(RepositoryKind.YUM, "http://repository.example.org/yum"))
    assert Bench(store, tmp_path, patch).run() is ScenarioResult.INCONCLUSIVE


# --- the release notes


def test_the_sh_blocks_of_the_release_notes_are_followed_in_order_and_prose_is_not(
    store: FactStore, tmp_path: Path
) -> None:
    notes = STEPS + "```\nrm -rf /\n```\n```python\nimport os\n```\n```sh\necho second\n```"
    assert configuration_steps(notes) == ("echo BDII_HOST=bdii >>/etc/grid.conf\n", "echo second\n")
    bench = Bench(store, tmp_path, replace(PATCH, special_configuration=notes))
    assert bench.run() is ScenarioResult.PASS
    followed = [s for s in bench.roots.scripts if s.startswith("set -e\necho")]
    assert [s.splitlines()[1] for s in followed] == ["echo BDII_HOST=bdii >>/etc/grid.conf", "echo second"]
    assert not any("rm -rf" in s or "import os" in s for s in bench.roots.scripts)
    assert "+ echo second" in bench.log()


def test_a_configuration_step_that_fails_fails_the_scenario(store: FactStore, tmp_path: Path) -> None:
    bench = Bench(store, tmp_path, replace(PATCH, special_configuration=STEPS))
    bench.roots.says["BDII_HOST"] = fails("/etc/grid.conf: read-only", 2)
    assert bench.run() is ScenarioResult.FAIL
    end = scenario_end(bench.record, "wn")
    assert end is not None
    assert end.payload["reason"] == (
        "Configuration step 1 of the release notes fails (exit code 2): /etc/grid.conf: read-only"
    )


def test_notes_that_only_a_person_can_follow_are_inconclusive(store: FactStore, tmp_path: Path) -> None:
    bench = Bench(store, tmp_path, replace(PATCH, special_configuration="Set BDII_HOST as you like."))
    assert bench.run() is ScenarioResult.INCONCLUSIVE
    assert "prose only" in bench.log()


def test_a_block_without_end_is_a_mistake_of_the_notes(store: FactStore, tmp_path: Path) -> None:
    bench = Bench(store, tmp_path, replace(PATCH, special_configuration="```sh\necho"))
    assert bench.run() is ScenarioResult.FAIL


@pytest.mark.parametrize("notes", [*TEXTS, *HTML, *JINJA])
def test_no_text_of_release_notes_becomes_a_step_by_accident(notes: str) -> None:
    try:
        assert configuration_steps(notes) == ()
    except PackageError:
        assert "```" in notes


# --- what the log shows


def test_a_log_keeps_beginning_and_end_and_no_login_and_no_control_characters() -> None:
    text = readable_log("begin \x1b[31mred\x1b[0m http://user:secret@proxy:3128/\n" + "x" * 3 * LOG_CHARACTERS + "end")
    assert len(text) < LOG_CHARACTERS + 100
    assert text.startswith("begin red http://***@proxy:3128/")
    assert text.endswith("end")
    assert "characters left out" in text


def test_the_telling_line_is_the_one_that_names_the_cause() -> None:
    said = (
        "Setting up x (1) ...\nno such user\ndpkg: error processing package x (--configure):\n"
        " installed x package post-installation script subprocess returned error exit status 3\n"
        "Errors were encountered while processing:\n x\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n"
    )
    assert telling_line(said) == (
        "dpkg: error processing package x (--configure): "
        "installed x package post-installation script subprocess returned error exit status 3"
    )
    assert telling_line("") == "it said nothing."


def test_the_time_for_a_step_is_a_limit(store: FactStore) -> None:
    roots = PretendedRoots({"--no-download": replace(fails("Setting up x", -9), timed_out=True)})
    report = try_update(PATCH, PLATFORM, roots, PretendedRepositories())
    assert report.result is ScenarioResult.FAIL
    assert report.reason == "The installation fails: it did not end within 1800 s."


# --- member sites


def test_a_site_that_says_no_must_say_why(bench: Bench) -> None:
    with pytest.raises(RefusedError, match="needs a report"):
        bench.site_answers(ScenarioResult.FAIL)
    bench.site_answers(ScenarioResult.FAIL, "pbs_mom does not start.\nSee the log.", "mom: \x1b[1mno libtorque")
    end = scenario_end(bench.record, "wn-torque")
    assert end is not None
    assert (end.payload["by"], end.payload["user"]) == ("CNAF-PPS", "ada")
    assert end.payload["reason"] == "pbs_mom does not start. See the log."
    assert "mom: no libtorque" in bench.log("wn-torque")


def test_an_automatic_scenario_is_not_a_sites_to_run_nor_the_other_way_round(bench: Bench) -> None:
    with pytest.raises(NotYetAllowedError, match="run by CNAF-PPS"):
        bench.run("wn-torque")


def test_what_nobody_ran_is_inconclusive_once(bench: Bench) -> None:
    for _ in range(2):
        bench.store.record(
            *deployment_tests.nobody_ran(at_desk(bench.record, now=NOW, actor="pps"), "wn-torque", "No answer.")
        )
    assert sum(f.kind is FactKind.SCENARIO_ENDED for f in bench.record.facts) == 1


# --- provider, results, verdict


def failed(bench: Bench) -> Bench:
    bench.roots.says["--no-download"] = fails("Setting up voms-clients\ndpkg: error processing package voms-clients:")
    bench.run()
    return bench


def test_a_failure_goes_back_to_the_provider_with_its_log_and_into_the_tracker_once(bench: Bench) -> None:
    failed(bench).patch = replace(PATCH, provider="grid-packages@example.org")
    assert [bench.tell(), bench.tell()] == [1, 0]
    ((mail, _, _),) = bench.store.outbox(bench.name)
    assert mail.to == "grid-packages@example.org"
    assert mail.attachments == (("wn.txt", "text/plain", bench.log()),)
    ((number, comment),) = bench.tracker.comments
    assert number == 4711
    assert comment.startswith("Deployment test pre-deployment-4711-1: scenario wn (debian12-amd64) failed.")
    matches_snapshot("deployment_failed.txt", re.sub(r"\(0\.\d s\)", "(0.1 s)", mail.text))


def test_without_a_provider_the_operations_team_is_told_and_a_pass_is_told_to_nobody(bench: Bench) -> None:
    bench.run()
    assert bench.tell() == 0
    bench.site_answers(ScenarioResult.FAIL, "It does not start.")
    assert bench.tell() == 1
    assert [m.to for m, _, _ in bench.store.outbox(bench.name)] == ["pps-support@example.org"]


@pytest.mark.parametrize(
    "error", [PatchNotFoundError("patch 4711", "not found."), ServiceError("tracker", "does not answer.")]
)
def test_a_tracker_that_takes_no_comment_holds_nothing_up_and_hears_of_it_when_it_does(
    bench: Bench, error: RolloutError
) -> None:
    failed(bench).tracker.error = error
    assert bench.tell() == 1
    assert tell_tracker(at_office(bench.store, now=NOW, actor="pps"), bench.tracker).opened == 0
    bench.site_answers(ScenarioResult.PASS, "It starts.")
    bench.close()
    assert tell_tracker(at_office(bench.store, now=NOW, actor="pps"), bench.tracker).opened == 0
    bench.tracker.error = None
    assert tell_tracker(at_office(bench.store, now=NOW, actor="pps"), bench.tracker).opened == 1
    ((_, told),) = bench.tracker.comments
    assert "- wn (debian12-amd64): " in told


@pytest.mark.parametrize("text", [*HTML, *JINJA, *TEXTS])
def test_text_of_strangers_stays_text_in_the_mail(store: FactStore, tmp_path: Path, text: str) -> None:
    bench = Bench(store, tmp_path, replace(PATCH, title=text))
    bench.roots.says["--no-download"] = fails(text)
    bench.run()
    bench.tell()
    ((mail, _, _),) = bench.store.outbox(bench.name)
    assert "<script" not in mail.html.lower()
    assert "49" not in mail.text.split("What to do")[0] or "49" in text


def test_a_test_is_closed_when_every_scenario_has_ended_and_its_results_are_published(bench: Bench) -> None:
    bench.run()
    with pytest.raises(NotYetAllowedError, match="must end first: wn-torque"):
        bench.close()
    bench.site_answers(ScenarioResult.INCONCLUSIVE, "The batch system is down.")
    assert bench.close().outcome is DeploymentOutcome.PASSED
    assert bench.close().outcome is DeploymentOutcome.PASSED
    results = json.loads((bench.folder / f"deployment-tests/{bench.name}/results.json").read_text())
    assert results["outcome"] == "passed"
    assert results["platforms"] == ["debian12-amd64"]
    assert {s["name"]: s["result"] for s in results["scenarios"]} == {"wn": "pass", "wn-torque": "inconclusive"}
    with pytest.raises(NotYetAllowedError):
        deployment_tests.run_scenario(
            at_desk(
                replace(
                    bench.record, facts=tuple(f for f in bench.record.facts if f.kind is not FactKind.SCENARIO_ENDED)
                ),
                bench.store,
                patch=PATCH,
                actor="pps",
                clock=lambda: NOW,
            ),
            "wn",
            bench.roots,
            bench.repositories,
            publication=PublishedFolder(bench.folder),
        )


def test_the_newest_test_that_has_ended_speaks_for_the_patch_and_only_for_what_was_tested(bench: Bench) -> None:
    verdict = deployment_tests.newest_deployment_verdict
    assert verdict(bench.store, 4711) is None
    failed(bench).site_answers(ScenarioResult.PASS)
    bench.close()
    found = verdict(bench.store, 4711, PATCH)
    assert found is not None and found.outcome is DeploymentOutcome.FAILED
    second = opened(bench.store, run="r/2")
    assert second.name == "pre-deployment-4711-2"
    assert verdict(bench.store, 4711) == found, "it is under way"
    changed = verdict(bench.store, 4711, replace(PATCH, externals=()))
    assert changed is not None and changed.outcome is DeploymentOutcome.INCONCLUSIVE


def test_the_decision_on_the_release_heeds_the_deployment_test(bench: Bench) -> None:
    def decide(run: str) -> tuple[str, ...]:
        record = preview(bench.store, run=run)
        written = Fact(record.name, FactKind.RELEASE_NOTES_WRITTEN, "", "", NOW, "pps", {})
        bench.store.record(written)
        patch = replace(PATCH, state=PatchState.CERTIFIED)
        return release.decide_on_release(
            at_desk(bench.store.rollout(record.name), bench.store, patch=patch, now=NOW, actor="pps")
        )

    failed(bench).site_answers(ScenarioResult.PASS)
    bench.close()
    assert 'The outcome of its pre-deployment test is "failed".' in decide("bc_client_update/first")
    bench.name = opened(bench.store, run="r/2").name
    bench.roots.says.clear()
    bench.run()
    bench.site_answers(ScenarioResult.PASS)
    bench.close()
    assert decide("bc_client_update/second") == ()
