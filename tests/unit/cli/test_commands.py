"""Every command: for people and as JSON, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.front import (  # noqa: F401
    NOW,
    PATCH,
    ROLLOUT,
    SECRET,
    MemoryTracker,
    a_preview_that_is_out,
    front,
    happened,
    services,
    site,
    write_config,
)
from typer.testing import CliRunner

from pps.activities.people.tokens import invitation_token
from pps.activities.ports.people import Mail
from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.base.errors import ServiceError
from pps.domain.people.feedback import answers
from pps.domain.record.facts import FactKind


def pps(front: Front, *words: str, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words), obj=front, input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def as_json(front: Front, *words: str) -> Any:
    code, out, err = pps(front, *words, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_help_leads_a_newcomer(front: Front) -> None:
    code, out, _ = pps(front, "--help")
    assert code == 0
    for word in (
        "doctor",
        "sites",
        "patches",
        "rollout",
        "feedback",
        "bulletin",
        "mails",
        "credits",
        "db",
        "First steps",
    ):
        assert word in out


@pytest.mark.parametrize(
    "words",
    [
        ("sites", "list"),
        ("sites", "show", "PIC"),
        ("sites", "check"),
        ("patches", "list"),
        ("patches", "show", "4711"),
        ("rollout", "list"),
        ("rollout", "show", ROLLOUT),
        ("rollout", "show", ROLLOUT, "--facts"),
        ("rollouts", "list"),
        ("feedback", "list", ROLLOUT),
        ("bulletin", "show"),
        ("mails", "outbox", ROLLOUT),
        ("credits",),
        ("credits", "--by", "month"),
        ("db", "upgrade"),
    ],
)
def test_every_command_fits_80_columns_and_speaks_json(front: Front, words: tuple[str, ...]) -> None:
    a_preview_that_is_out(front.services.facts)
    code, out, err = pps(front, *words)
    assert (code, err) == (0, "")
    assert out.strip()
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out
    as_json(front, *words)


def test_sites_list_can_be_limited_to_a_roc(front: Front) -> None:
    assert [s["name"] for s in as_json(front, "sites", "list")] == ["PIC", "CNAF", "SARA"]
    assert as_json(front, "sites", "list", "--roc", "South") == []


def test_an_unknown_site_is_an_error_on_stderr_without_traceback(front: Front) -> None:
    code, out, err = pps(front, "sites", "show", "NOWHERE")
    assert (code, out) == (1, "")
    assert err.startswith("error: site 'NOWHERE': is not in sites.yaml.")
    assert "pps sites list" in err


def test_sites_check_lists_every_problem_at_once(front: Front, tmp_path: Path) -> None:
    ssh = {"host": "a;reboot", "user": "ppsadm", "host_key": "ssh-rsa short", "port": 70000}
    bad = [
        site("A", roc="x y", colour="red", preview_root="../opt"),
        site("B", ssh=ssh, contact="a@b,<c@d>", platform="debian12;id"),
        site("b"),
        {"name": "-rf"},
    ]
    front = replace(front, services=replace(front.services, config=write_config(tmp_path / "bad", bad), given={}))
    code, out, _ = pps(front, "sites", "check", "--json")
    problems = json.loads(out)["problems"]
    assert code == 1
    for place in (
        "sites.A.roc",
        "sites.A.colour",
        "sites.A.preview_root",
        "sites.B.ssh.host",
        "sites.B.ssh.host_key",
        "sites.B.ssh.port",
        "sites.B.contact",
        "sites.B.platform",
        "sites.3.name",
        "sites.3.ssh",
    ):
        assert any(p.startswith(f"{place}:") for p in problems), place
    write_config(tmp_path / "bad", [site("PIC"), site("pic")])
    code, out, _ = pps(front, "sites", "check")
    assert code == 1
    assert "listed twice: PIC, pic" in one_line(out)


def test_a_broken_file_names_line_and_column(front: Front, tmp_path: Path) -> None:
    config = write_config(tmp_path / "broken", [])
    (config.folder / "sites.yaml").write_text("sites:\n  - name: [A\n")
    front = replace(front, services=replace(front.services, config=config, given={}))
    code, _, err = pps(front, "sites", "list")
    assert code == 1
    assert "sites.yaml, line 3, column 1" in err


def test_patches_list_says_what_may_go_out(front: Front) -> None:
    assert {p["number"]: p["preview"] for p in as_json(front, "patches", "list")} == {4712: "refused", 4711: "admitted"}
    assert [p["number"] for p in as_json(front, "patches", "list", "--state", "Rejected")] == [4712]


def test_a_patch_is_shown_with_the_verdict_and_its_reasons(front: Front) -> None:
    _, out, _ = pps(front, "patches", "show", "4712")
    assert "As a preview: refused, because" in out
    assert '- The patch is "Rejected", not "In certification".' in out
    assert "- It adds the configuration variables X." in out
    assert "As a preview: admitted." in pps(front, "patches", "show", "4711")[1]


@pytest.mark.parametrize("number", ["0", "-1", "x", "1e5", "1000000000", "4711;id"])
def test_what_is_no_patch_number_is_a_usage_error(front: Front, number: str) -> None:
    code, _, err = pps(front, "patches", "show", "--", number)
    assert code == 2
    assert "Traceback" not in err


def test_a_dry_run_shows_everything_and_starts_nothing(front: Front) -> None:
    code, out, _ = pps(front, "rollout", "start", "4711", "--dry-run", "--feedback-until", "2026-03-20")
    text = one_line(out)
    assert code == 0
    for part in (
        "verdict admitted",
        "rollout bc-client-4711-1",
        "VO-ops-PPS-GLITE-WN-3.1.23",
        "SARA has not opted in to previews.",
        "atlas <atlas@example.org>",
        "roc-north@example.org",
        "ada@example.org",
        "2026-03-20 00:00 UTC",
        "nothing was started",
    ):
        assert part in text
    assert front.airflow.started == []
    plan = as_json(front, "rollout", "start", "4711", "--dry-run")
    assert plan["batches"]["canary"] == ["PIC", "CNAF"]
    assert plan["feedback_until"] == (NOW + timedelta(days=14)).isoformat()


def test_a_refused_patch_is_not_started_and_the_reasons_are_listed(front: Front) -> None:
    code, out, _ = pps(front, "rollout", "start", "4712", "--dry-run", "--path", "bc")
    assert code == 1
    assert "It adds the configuration variables X." in one_line(out)
    code, _, err = pps(front, "rollout", "start", "4712")
    assert code == 1
    assert err.startswith("error: patch 4712 (glite-WN 3.1.23): The patch is")
    assert front.airflow.started == []


def test_a_patch_that_is_open_is_not_started_again(front: Front) -> None:
    a_preview_that_is_out(front.services.facts)
    code, _, err = pps(front, "rollout", "start", "4711")
    assert code == 1
    assert f"being rolled out already, as {ROLLOUT}" in err
    assert front.airflow.started == []


def test_start_triggers_the_dag_with_an_absolute_date(front: Front) -> None:
    code, out, _ = pps(front, "rollout", "start", "4711", "--feedback-until", "14d")
    assert code == 0
    assert f"Started {ROLLOUT}" in out
    due = (NOW + timedelta(days=14)).isoformat()
    assert front.airflow.started == [("bc_client_update", {"patch": 4711, "feedback_until": due})]
    pps(front, "rollout", "start", "4711")
    assert front.airflow.started[1][1] == {"patch": 4711}


def test_start_can_invite_some_vos_only_and_refuses_unknown_ones(front: Front) -> None:
    assert as_json(front, "rollout", "start", "4711", "--vo", "cms", "--dry-run")["vos"] == ["cms@example.org"]
    pps(front, "rollout", "start", "4711", "--vo", "cms", "--vo", "cms")
    assert front.airflow.started == [("bc_client_update", {"patch": 4711, "vos": ["cms"]})]
    code, _, err = pps(front, "rollout", "start", "4711", "--vo", "nobody")
    assert code == 1
    assert "VO nobody: is not in people.yaml." in err


@pytest.mark.parametrize(
    "date", ["yesterday", "2026-02-30", "14", "14x", "9999999d", "2026-02-28", "0d", "1d\n", "99999999999999w"]
)
def test_a_date_that_cannot_be_is_a_usage_error(front: Front, date: str) -> None:
    code, _, err = pps(front, "rollout", "start", "4711", "--feedback-until", date)
    assert code == 2
    assert "Traceback" not in err
    assert front.airflow.started == []


def test_follow_prints_each_fact_once_until_the_end(front: Front) -> None:
    facts = front.services.facts
    a_preview_that_is_out(facts)
    front.pause = lambda _: facts.record(happened(FactKind.ROLLOUT_CLOSED, after=60)) and None
    code, out, _ = pps(front, "rollout", "follow", ROLLOUT)
    assert code == 0
    assert out.count("tag-seen  PIC") == 1
    assert out.rstrip().endswith("rollout-closed")
    assert [
        json.loads(line)["kind"] for line in pps(front, "rollout", "follow", ROLLOUT, "--json")[1].splitlines()
    ] == [f.kind for f in facts.facts]


def test_follow_of_a_stopped_rollout_ends_with_1(front: Front) -> None:
    a_preview_that_is_out(front.services.facts)
    front.services.facts.record(happened(FactKind.ROLLOUT_STOPPED, reason="Budget."), happened(FactKind.ROLLOUT_CLOSED))
    assert pps(front, "rollout", "follow", ROLLOUT)[0] == 1


def test_follow_of_an_unknown_rollout_says_so_at_once(front: Front) -> None:
    code, _, err = pps(front, "rollout", "follow", "bc-client-1-1")
    assert code == 1
    assert "is not on record" in err


def test_follow_survives_a_store_that_is_away_for_a_while(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = front.services.facts
    a_preview_that_is_out(facts)
    facts.record(happened(FactKind.ROLLOUT_CLOSED))
    really, away = facts.rollout, [ServiceError("store", "is away.")] * 3
    monkeypatch.setattr(facts, "rollout", lambda name: (_ for _ in ()).throw(away.pop()) if away else really(name))
    assert pps(front, "rollout", "follow", ROLLOUT)[0] == 0


def test_start_and_follow_ends_when_airflow_gives_up(front: Front) -> None:
    front.airflow.state = "failed"
    code, _, err = pps(front, "rollout", "start", "4711", "--follow")
    assert code == 1
    assert "error: Airflow run rollout__4711: has failed." in err


def test_rollout_show_has_states_reasons_and_the_jdl(front: Front) -> None:
    a_preview_that_is_out(front.services.facts)
    _, out, _ = pps(front, "rollout", "show", ROLLOUT)
    text = one_line(out)
    assert "stage preview" in text
    assert 'Member("VO-ops-PPS-GLITE-WN-3.1.23", other.GlueHostApplicationSoftwareRunTimeEnvironment);' in text
    assert "The disk quota is used up." in text
    assert "2 available, 1 failed" in text
    _, out, _ = pps(front, "rollout", "show", ROLLOUT, "--facts")
    assert "site-failed" in out


def test_a_withdrawal_is_shown_before_it_is_begun(front: Front) -> None:
    a_preview_that_is_out(front.services.facts)
    front.services.facts.record(happened(FactKind.PREVIEW_INSTALLED, "PIC", tarball="glite-WN-3.1.23-PPS-0"))
    bdii = front.services.information_system
    bdii.published = {"ce.cnaf.example.org": frozenset({"vo-ops-pps-glite-wn-3.1.23"})}
    words = ("rollout", "withdraw", ROLLOUT, "--reason", "It corrupts large files.", "--dry-run")
    code, out, _ = pps(front, *words)
    text = one_line(out)
    assert code == 0
    for part in (
        "verdict admitted",
        "reason It corrupts large files.",
        "tag VO-ops-PPS-GLITE-WN-3.1.23",
        "shown at CNAF",
        "held by PIC",
        "ada@example.org, admin@pic.example.org",
        "nothing was started",
    ):
        assert part in text
    assert front.airflow.started == []
    assert as_json(front, *words)["tag_shown_at"] == ["CNAF"]

    def down(subclusters: object) -> None:
        raise ServiceError("the information system", "does not answer.")

    bdii.tags_of = down
    assert "the information system does not answer" in one_line(pps(front, *words)[1])


def test_a_withdrawal_begins_in_airflow_with_name_and_reason(front: Front) -> None:
    a_preview_that_is_out(front.services.facts)
    code, out, _ = pps(front, "rollout", "withdraw", ROLLOUT, "--reason", "It corrupts large files.")
    assert code == 0
    assert f"The withdrawal of {ROLLOUT} has begun" in one_line(out)
    assert front.airflow.started == [("withdraw_rollout", {"rollout": ROLLOUT, "reason": "It corrupts large files."})]
    begun = as_json(front, "rollout", "withdraw", ROLLOUT, "--reason", "It corrupts large files.")
    assert begun["dag_id"] == "withdraw_rollout"


def test_a_withdrawal_without_a_sentence_or_of_nothing_is_refused(front: Front) -> None:
    a_preview_that_is_out(front.services.facts)
    for more in ((), ("--dry-run",)):
        code, out, err = pps(front, "rollout", "withdraw", ROLLOUT, "--reason", "bad", *more)
        assert code == 1
        assert "must be a sentence" in one_line(out + err)
    assert pps(front, "rollout", "withdraw", ROLLOUT)[0] == 2
    code, _, err = pps(front, "rollout", "withdraw", "bc-client-1-1", "--reason", "It corrupts large files.")
    assert code == 1
    assert "is not on record" in err
    assert front.airflow.started == []


def test_a_withdrawal_is_followed_to_its_end_which_is_a_good_one(front: Front) -> None:
    facts = front.services.facts
    a_preview_that_is_out(facts)
    facts.record(happened(FactKind.ROLLOUT_STOPPED, reasons=["r"]), happened(FactKind.ROLLOUT_CLOSED))
    coming = [
        happened(FactKind.WITHDRAWAL_ASKED, after=60, reason="It corrupts large files."),
        happened(FactKind.TAGS_GONE, after=61, still_shown=[]),
        happened(FactKind.TOLD, "ada@example.org", "withdrawn", after=62),
    ]
    front.pause = lambda _: facts.record(coming.pop(0)) and None
    code, out, _ = pps(front, "rollout", "withdraw", ROLLOUT, "--reason", "It corrupts large files.", "--follow")
    assert code == 0
    assert out.rstrip().splitlines()[-1].startswith("2026-03-01 13:02 UTC  told  ada@example.org")

    _, out, _ = pps(front, "rollout", "show", ROLLOUT)
    text = one_line(out)
    assert "stage withdrawn" in text
    assert "because It corrupts large files." in text
    assert "still at PIC, CNAF; every night tries again" in text
    assert as_json(front, "rollout", "show", ROLLOUT)["withdrawn"]["payload"]["reason"] == "It corrupts large files."


def test_feedback_given_twice_counts_once_and_a_token_makes_it_count(front: Front) -> None:
    facts = front.services.facts
    a_preview_that_is_out(facts)
    token = invitation_token(SECRET, ROLLOUT, "atlas")
    words = ("feedback", "give", ROLLOUT, "--vo", "atlas", "--opinion", "works", "--text", "fine", "--token", token)
    first, second = as_json(front, *words), as_json(front, *words)
    assert first == second
    assert first["invited"]
    assert len(answers(facts.rollout(ROLLOUT))) == 1
    _, out, _ = pps(front, "feedback", "list", ROLLOUT)
    assert "silent so far: cms." in out


def test_what_a_vo_says_of_single_bugs_is_listed_beside_the_whole_and_can_be_withdrawn(front: Front) -> None:
    a_preview_that_is_out(front.services.facts)
    token = invitation_token(SECRET, ROLLOUT, "atlas")
    words = ("feedback", "give", ROLLOUT, "--vo", "atlas", "--opinion", "works", "--token", token)
    code, _, err = pps(front, *words, "--bug", "7=fixed")
    assert (code, "The patch names no bug '7'; it names 101." in " ".join(err.split())) == (1, True)
    assert pps(front, *words, "--bug", "101=not-fixed")[0] == 0
    _, out, _ = pps(front, "feedback", "list", ROLLOUT)
    assert "Bug 101: not fixed: 1 VO (atlas)." in out
    _, listed, _ = pps(front, "feedback", "list", ROLLOUT, "--json")
    given = json.loads(listed)
    assert given["answers"][0]["verdicts"]["bugs"] == {"101": "not fixed"}
    assert given["bugs"][0]["bad"] == ["atlas"]
    take_back = ("feedback", "withdraw", ROLLOUT, "--vo", "atlas", "--token", token)
    assert pps(front, *take_back)[0] == 0
    code, _, err = pps(front, *take_back)
    assert (code, "was withdrawn already" in " ".join(err.split())) == (1, True)
    assert json.loads(pps(front, "feedback", "list", ROLLOUT, "--json")[1])["silent"] == ["atlas", "cms"]


def test_feedback_reads_its_text_from_standard_input(front: Front) -> None:
    a_preview_that_is_out(front.services.facts)
    words = ("feedback", "give", ROLLOUT, "--vo", "cms", "--opinion", "problem", "--text", "-")
    code, out, _ = pps(front, *words, stdin="gfal-ls hangs\n")
    assert code == 0
    assert "counts for no VO" in one_line(out)
    assert answers(front.services.facts.rollout(ROLLOUT))[0].text == "gfal-ls hangs"
    assert pps(front, *words, stdin="x" * 70_000)[0] == 1


def test_text_of_others_cannot_drive_the_terminal_or_the_markup(front: Front) -> None:
    a_preview_that_is_out(front.services.facts)
    nasty = "\x1b]0;owned\x07 [red]x[/red] [link=http://evil]y[/link] :boom: \u202egnp.exe"
    front.services.facts.record(happened(FactKind.SITE_FAILED, "CNAF", "again", reason=nasty))
    front.services.tracker.known[4711] = replace(PATCH, title=nasty)
    for words in (("rollout", "show", ROLLOUT), ("rollout", "follow", ROLLOUT), ("patches", "show", "4711")):
        if "follow" in words:
            front.services.facts.record(happened(FactKind.ROLLOUT_CLOSED))
        _, out, _ = pps(front, *words)
        assert not {"\x1b", "\x07", "\u202e"} & set(out)
        assert "[red]x[/red]" in one_line(out)
        assert "\\x1b]0;owned\\x07" in one_line(out)


def test_the_outbox_shows_sent_waiting_and_refused(front: Front) -> None:
    mail = Mail(f"{ROLLOUT}/broadcast/atlas", "atlas@example.org", "A preview", "Dear VO")
    front.services.facts.mails += [
        (mail, NOW, ""),
        (replace(mail, key=f"{ROLLOUT}/x", to="cms@example.org"), None, "550 no such user"),
    ]
    _, out, _ = pps(front, "mails", "outbox", ROLLOUT, "--text")
    text = one_line(out)
    assert "2026-03-01 12:00 UTC" in text
    assert "550 no such user" in text
    assert "Dear VO" in text
    assert "1 of 2 mails sent." in text


def test_without_a_login_for_airflow_the_error_says_what_to_set(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PPS_AIRFLOW_USER", "PPS_AIRFLOW_PASSWORD", "PPS_AIRFLOW_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PPS_LOGIN_FILE", "/nonexistent/login.json")
    front = Front(front.services, now=front.now)
    code, _, err = pps(front, "rollout", "start", "4711")
    assert code == 1
    assert "Sign in: pps login" in err and "PPS_AIRFLOW_PASSWORD" in err


def test_a_missing_folder_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--config", str(tmp_path / "none"), "sites", "list"])
    assert result.exit_code == 1
    assert "set PPS_CONFIG to the right folder" in result.stderr


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_without_traceback(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config", [])
    os.mkfifo(config.folder / "wait.yaml")
    (config.folder / "sites.yaml").unlink()
    (config.folder / "wait.yaml").rename(config.folder / "sites.yaml")  # reading it waits for a writer
    environment = os.environ | {"PPS_CONFIG": str(config.folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "pps.cli.main", "sites", "list"]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as process:  # noqa: SIM117
        # opening for writing succeeds only once the command is reading
        with (config.folder / "sites.yaml").open("w"):
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_the_registry_in_config_is_valid_and_its_example_too(front: Front, tmp_path: Path) -> None:
    shipped = Path(__file__).resolve().parents[3] / "config" / "sites.yaml"
    lines = [line for line in shipped.read_text().splitlines() if line.startswith("# ") and ":" in line]
    example = "\n".join(line[2:] for line in lines[lines.index("# sites:") :])
    sites = yaml.safe_load(example.replace("AAAA...", "A" * 68))["sites"]
    front = replace(front, services=replace(front.services, config=write_config(tmp_path / "ex", sites), given={}))
    assert pps(front, "sites", "check")[0] == 0


def test_an_empty_tracker_is_said_in_words(front: Front) -> None:
    front.services.__dict__["tracker"] = MemoryTracker()
    assert pps(front, "patches", "list")[1] == "No patches.\n"


def test_a_client_with_new_variables_takes_the_path_of_silver_partners_unless_it_is_told_otherwise(
    front: Front,
) -> None:
    _, out, _ = pps(front, "rollout", "start", "4712", "--dry-run", "--json")
    assert json.loads(out)["rollout"] == "non-bc-client-4712-1"
    assert any("no Silver partner" in why for why in json.loads(out)["left_out"]["SARA"])
    _, out, _ = pps(front, "rollout", "start", "4712", "--dry-run", "--json", "--path", "bc")
    assert json.loads(out)["rollout"] == "bc-client-4712-1"


def asks(front: Front, *more: AirflowQuestion) -> None:
    front.airflow.asked = [
        AirflowQuestion(
            "non_bc_client_update",
            "non-bc-client-4712-1",
            "site.configure",
            2,
            "PIC: please configure the preview",
            ("Configured", "Cannot configure it"),
            "Set **X**.",
            {"settings": {"value": None, "description": "One NAME=value a line."}, "remarks": {"value": None}},
            ("user:admin-pic",),
        ),
        *more,
    ]


def test_a_task_is_listed_shown_and_answered_with_its_whole_form(front: Front) -> None:
    asks(front)
    _, out, _ = pps(front, "tasks", "list")
    assert "user:admin-pic" in one_line(out)
    _, out, _ = pps(front, "tasks", "show", "PIC")
    assert "--field settings=..." in one_line(out)
    code, out, _ = pps(front, "tasks", "answer", "PIC", "configured", "--field", "settings=X=1")
    assert code == 0
    ((question, options, form),) = front.airflow.answered
    assert (question.map_index, options, form) == (2, ["Configured"], {"settings": "X=1", "remarks": None})


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("PIC", "Perhaps"), "is not one of: Configured, Cannot configure it"),
        (("PIC", "Configured", "--field", "colour=red"), "is not in this form"),
        (("CERN", "Configured"), "waits for no answer"),
        (("P", "Configured"), "fits 2 questions"),
    ],
)
def test_an_answer_that_fits_nothing_is_refused_with_what_would_fit(
    front: Front, arguments: tuple[str, ...], why: str
) -> None:
    asks(front, AirflowQuestion("d", "r", "t", -1, "PPS Coordinator: overrule?", ("Agree", "Refuse")))
    code, _, err = pps(front, "tasks", "answer", *arguments)
    assert code == 1
    assert why in err
    assert front.airflow.answered == []


def test_overruling_asks_for_a_joint_decision(front: Front) -> None:
    code, _, _ = pps(front, "overrule", "4711", "--reason", "A hole in the proxy renewal.", "--json")
    assert code == 0
    assert front.airflow.started == [
        ("overrule_policies", {"patch": 4711, "urgency": "urgent", "reason": "A hole in the proxy renewal."})
    ]
