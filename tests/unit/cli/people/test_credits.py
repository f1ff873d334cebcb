"""`pps credits`: for people, for programs and for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from tests.support.front import NOW, front, happened, services  # noqa: F401
from typer.testing import CliRunner

from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.record.facts import FactKind

#: design: bad input of the field, for the export of credits
FORMULAS = ("=cmd|' /C calc'!A0", "+1+1", "-1", "@SUM(1)", "\t=1", " =1", "\uff1d1", "\r=1")


def credited(front: Front, who: str, activity: str, credits: int, days: int = 0, **payload: str) -> None:
    front.services.facts.record(
        happened(
            FactKind.CREDITED,
            who,
            activity,
            after=days * 24 * 60,
            activity=activity,
            credits=credits,
            effort_ph=credits,
            **payload,
        )
    )


@pytest.fixture
def worked(front: Front) -> Front:
    credited(front, "PIC", "pilot-setup", 12, site="PIC", roc="SWE", person="ada")
    credited(front, "CNAF", "release-test", 1, days=1, site="CNAF", roc="Italy")
    credited(front, "PIC", "release-test", 1, days=31, site="PIC", roc="SWE", person="bob")
    credited(front, "carol", "pilot-pre-screening", 6, days=40)
    return front


def pps(front: Front, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["credits", *words], obj=front)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def sums(front: Front, *words: str) -> dict[str, int]:
    code, out, err = pps(front, *words, "--json")
    assert (code, err) == (0, "")
    return {t["key"]: t["credits"] for t in json.loads(out)["totals"]}


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("person", {"ada": 12, "carol": 6, "bob": 1, "": 1}),
        ("site", {"PIC": 13, "": 6, "CNAF": 1}),
        ("region", {"SWE": 13, "": 6, "Italy": 1}),
        ("activity", {"pilot-setup": 12, "pilot-pre-screening": 6, "release-test": 2}),
        ("month", {"2026-03": 13, "2026-04": 7}),
        ("week", {"2026-W09": 12, "2026-W10": 1, "2026-W14": 1, "2026-W15": 6}),
    ],
)
def test_credits_are_added_up_by_what_is_asked_for(worked: Front, by: str, expected: dict) -> None:
    assert sums(worked, "--by", by) == expected
    code, out, _ = pps(worked, "--by", by)
    assert code == 0
    assert "20 credits (2.5 PD) for 4 completed activities." in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_last_day_of_a_period_is_included(worked: Front) -> None:
    first = NOW.date().isoformat()
    second = (NOW + timedelta(days=1)).date().isoformat()
    assert sums(worked, "--until", first) == {"pilot-setup": 12}
    assert sums(worked, "--since", second, "--until", second) == {"release-test": 1}


@pytest.mark.parametrize(
    ("words", "total"),
    [(("--site", "PIC"), 13), (("--person", "carol"), 6), (("--activity", "release-test", "--site", "CNAF"), 1)],
)
def test_credits_can_be_limited(worked: Front, words: tuple[str, ...], total: int) -> None:
    assert sum(sums(worked, *words).values()) == total


def test_nothing_done_is_said_in_words_and_is_no_error(front: Front) -> None:
    assert pps(front) == (0, "No credits.\n", "")
    assert pps(front, "--activity", "pilot-setup")[1] == "No credits.\n"


def test_a_misspelt_activity_is_an_error(worked: Front) -> None:
    code, out, err = pps(worked, "--activity", "pilot-set-up")
    assert (code, out) == (1, "")
    assert "pilot-setup" in err


@pytest.mark.parametrize(
    "words", [("--json", "--csv"), ("--since", "2026-03-02", "--until", "2026-03-01"), ("--since", "yesterday")]
)
def test_a_question_without_sense_is_a_usage_error(worked: Front, words: tuple[str, ...]) -> None:
    assert pps(worked, *words)[0] == 2


def test_the_export_has_one_header_and_a_line_for_each_group(worked: Front) -> None:
    code, out, _ = pps(worked, "--by", "site", "--csv")
    assert code == 0
    assert out.replace("\r\n", "\n") == "SITE,CREDITS,PD,TIMES\nPIC,13,1.625,2\n(no site),6,0.75,1\nCNAF,1,0.125,1\n"


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_spreadsheet_takes_a_name_for_a_formula(front: Front, formula: str) -> None:
    credited(front, formula, "pilot-setup", 12)
    _, out, _ = pps(front, "--by", "person", "--csv")
    cell = list(csv.reader(io.StringIO(out)))[1][0]
    assert cell.startswith("'")
    assert not set(cell) & set("\t\r\n")
