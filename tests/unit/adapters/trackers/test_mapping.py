"""A tracker's attributes and a patch's fields, both ways, with the words of tracker.yaml."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.front import PATCH

from pps.adapters.trackers.mapping import WordBook
from pps.config.tracker_models import TrackerFile
from pps.domain.packages.patch import PatchKind, PatchState, Severity, what_is_missing

_VALUES = {
    "title": "x",
    "metapackage": "glite-WN",
    "version": "1",
    "platforms": "debian12-amd64",
    "repository": "yum https://repository.example.org/yum",
    "packages": "a 1 all",
}


def book(**file: Any) -> WordBook:
    return WordBook(TrackerFile.model_validate({"kind": "roundup", "url": "https://tracker.example.org/", **file}))


def read(words: WordBook, state: str = "In certification", **values: Any) -> Any:
    return words.read(4711, state, _VALUES | values)


def test_words_of_another_tracker_are_ours_here() -> None:
    words = book(
        states={"In certification": "testing"},
        severities={"critical": "1 - showstopper"},
        attributes={
            "programming_ph": {"name": "Man-days", "unit": "person_days"},
            "provider": "responsible",
            "test_cases": "",
        },
    )
    bug = {"number": "12", "title": "x", "severity": "1 - showstopper", "originator": "a@example.org"}
    found = read(words, "testing", bugs=[bug], **{"Man-days": "1.5", "responsible": "b@example.org"}).patch
    assert (found.state, found.bugs[0].severity) == (PatchState.IN_CERTIFICATION, Severity.CRITICAL)
    assert (found.programming_ph, found.provider) == (12, "b@example.org")
    written = words.write(found)
    assert (written["Man-days"], written["responsible"]) == ("1.5", "b@example.org")
    assert "test_cases" not in written and "programming_ph" not in written


def test_a_word_that_nobody_has_mapped_is_a_problem_that_names_it() -> None:
    reading = read(book(states={"In certification": "testing"}), "In certification")
    assert reading.patch is not None, "what is not mapped is called there as here"
    reading = read(book(), "Lost")
    assert reading.patch is None and reading.problems[0].startswith("state: ")


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("packages", "a 1 all\nonly-a-name", "packages.1"),
        ("repository", "somewhere", "repository"),
        ("repository", "zip https://x.example.org/", "repository.kind"),
        ("programming_ph", "about two", "programming_ph"),
        ("programming_ph", "1.5", "programming_ph"),
        ("database_schema_changed", "perhaps", "database_schema_changed"),
        ("embargo_until", "soon", "embargo_until"),
        ("cves", "CVE-26-1", "cves.0"),
        ("bugs", "12 | major | nobody | x", "bugs.0.originator"),
        ("bugs", [None], "bugs.0"),
        ("title", 5, "title"),
        ("new_variables", ["A", 5], "new_variables.1"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_field(field: str, value: Any, problem: str) -> None:
    reading = read(book(), **{field: value})
    assert reading.patch is None
    assert problem in [p.partition(":")[0] for p in reading.problems]
    assert reading.number == 4711, "it is still known which one it is"


def test_lines_and_columns_of_a_tracker_that_has_only_texts() -> None:
    found = read(
        book(),
        bugs="12 | major | a@example.org | Fails | often\n\n 13|minor|b@example.org|x",
        test_cases="renew | A proxy | is renewed",
        repository="apt https://repository.example.org/apt bookworm main extra",
        platforms="debian12-amd64\r\n\r\nalmalinux9-amd64\r\n",
        component_parameters="[CE] port",
    ).patch
    assert [(b.number, b.title) for b in found.bugs] == [(12, "Fails | often"), (13, "x")]
    assert [(c.name, c.title) for c in found.test_cases] == [("renew", "A proxy | is renewed")]
    assert found.repository.components == ("main", "extra")
    assert list(map(str, found.platforms)) == ["debian12-amd64", "almalinux9-amd64"]
    assert found.component_parameters == ("[CE] port",)


@given(
    st.dictionaries(
        st.sampled_from([*_VALUES, "bugs", "cves", "programming_ph", "embargo_until", "clients_compatible"]),
        st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text()), st.dictionaries(st.text(), st.text())),
    ),
    st.one_of(st.text(), st.integers(), st.none()),
)
def test_whatever_a_tracker_says_it_is_a_patch_or_a_list_of_problems(values: dict[str, Any], number: Any) -> None:
    reading = book().read(number, "Certified", _VALUES | values)
    assert (reading.patch is None) == bool(reading.problems)


def test_what_is_written_is_read_back_the_same() -> None:
    words = book()
    values = {**words.write(PATCH), "bugs": [], "test_cases": []}
    assert words.read(PATCH.number, PATCH.state.value, values).patch == replace(PATCH, bugs=(), test_cases=())


def test_what_is_missing_is_said_with_what_follows_from_it() -> None:
    bare = replace(PATCH, kind=PatchKind.SERVER, bugs=(), provider="", programming_ph=None, install_tested=())
    said = {sentence.partition(":")[0] for sentence in what_is_missing(bare)}
    assert {"provider", "bugs", "install_tested", "programming_ph", "service_type"} <= said
    assert all("programming_ph" not in s for s in what_is_missing(replace(bare, kind=PatchKind.CLIENT)))


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ({"attributes": {"nonsense": "x"}}, "nonsense is no field of a patch"),
        ({"states": {"Certified": "done", "In production": "done"}}, "done would stand for more than one"),
        ({"states": {"Certified": "In production"}}, "would stand for more than one"),
        ({"states": {"Lost": "x"}}, "states"),
        ({"url": "https://user:secret@tracker.example.org/"}, "without user"),
        ({"url": "ftp://tracker.example.org/"}, "url"),
        ({"kind": "savannah"}, "kind"),
        ({"token": "x"}, "token"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(file: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        book(**file)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("CVE-2026-12345 grave", "cves.0"),
        ("CVE-2026-12345 critical high", "cves.0"),
        ("CVE-2026-123", "cves.0"),
        ("cve-2026-12345", "cves.0"),
        ("CVE-2026-12345\nCVE-2026-12345 high", "named twice"),
    ],
)
def test_a_cve_that_is_none_or_a_severity_that_nobody_knows_is_a_problem_of_the_entry(text: str, what: str) -> None:
    reading = read(book(), cves=text)
    assert reading.patch is None and what in "; ".join(reading.problems)


def test_cves_come_with_their_severity_and_go_back_as_they_came() -> None:
    patch = read(book(), cves="CVE-2026-12345 critical\r\nCVE-2026-12346").patch
    assert [(v.cve, v.risk) for v in patch.cves] == [
        ("CVE-2026-12345", "critical"),
        ("CVE-2026-12346", None),
    ]
    assert book().write(patch)["cves"] == "CVE-2026-12345 critical\nCVE-2026-12346"


def test_what_a_provider_says_of_other_vulnerabilities_is_read_and_goes_back_as_it_came() -> None:
    text = "CVE-2026-12346 not_affected component_not_present\nCVE-2026-12347 affected"
    patch = read(book(), cves="CVE-2026-12345", vex=text.replace("\n", "\r\n")).patch
    assert [i.in_words for i in patch.vex] == ["not affected (component not present)", "affected"]
    assert book().write(patch)["vex"] == text
    for both in (f"{text}\nCVE-2026-12347 affected", f"{text}\nCVE-2026-12345 affected"):
        problems = read(book(), cves="CVE-2026-12345", vex=both).problems
        assert "is named twice in vex, or is in cves as well" in "; ".join(problems)
