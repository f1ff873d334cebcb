from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest
from markupsafe import escape
from tests.support.bad_input import HTML, JINJA
from tests.support.deployment_bench import Bench
from tests.support.desks import at_desk, at_office
from tests.support.examples import DUE, NOW, PATCH, SECRET, asked, previewed, sqlite_store, templates
from tests.support.scenarios import a_scenario, outcome_of
from tests.support.snapshots import matches_snapshot

from pps.activities.packages.classification import Classification, subject_of
from pps.activities.packages.verdicts import overrule
from pps.activities.people.feedback import Said, give_feedback
from pps.activities.people.tokens import invitation_token
from pps.activities.release import notes as release_notes
from pps.activities.release.notes import renew_release_notes, write_release_notes
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.adapters.services.markdown import as_html
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.base.texts import clean_text
from pps.domain.clients.updates import ClientVerdict
from pps.domain.packages.patch import Patch
from pps.domain.packages.yaim import ChangeKind, YaimChange
from pps.domain.quality.scenarios import ScenarioResult
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, dossier_name

AFTER = DUE + timedelta(seconds=1)


@pytest.fixture
def store() -> FactStore:
    return sqlite_store()


@pytest.fixture
def record(store: FactStore) -> Rollout:
    return asked(store, previewed(store))


def answer(
    store: FactStore,
    record: Rollout,
    vo: str,
    opinion: str,
    text: str,
    invited: bool = True,
    at: timedelta = timedelta(),
) -> None:
    token = invitation_token(SECRET, record.name, vo) if invited else None
    give_feedback(store, record.name, Said(vo, opinion, text, "its author", token), NOW + at, SECRET)


def write(store: FactStore, record: Rollout, folder: Path, patch: Patch = PATCH) -> tuple[str, str, str]:
    digest = write_release_notes(
        at_desk(store.rollout(record.name), store, templates=templates(), patch=patch, now=AFTER, actor="pps"),
        PublishedFolder(folder),
    )
    notes = folder / "release-notes"
    return digest, (notes / f"{record.name}.txt").read_text(), (notes / f"{record.name}.html").read_text()


@pytest.mark.sd("4.1.1")
def test_the_notes_say_in_words_that_no_feedback_was_provided(
    store: FactStore, record: Rollout, tmp_path: Path
) -> None:
    _, text, page = write(store, record, tmp_path)
    assert "NO FEEDBACK was provided: 2 VOs were invited (atlas, ops), and none answered" in " ".join(text.split())
    assert "No feedback was provided." in page
    ended = store.rollout(record.name).need(FactKind.FEEDBACK_ENDED, "")
    assert ended.payload == {"outcome": "none"}
    matches_snapshot("release_notes_silence.txt", text)


@pytest.mark.sd("4.1.1")
def test_comments_of_others_do_not_hide_that_the_invited_vos_were_silent(
    store: FactStore, record: Rollout, tmp_path: Path
) -> None:
    answer(store, record, "cms", "works", "fine here", invited=False)
    answer(store, record, "ops", "problem", "sorry, late", at=timedelta(days=15))
    _, text, page = write(store, record, tmp_path)
    for notes in (text, page):
        assert "no feedback was provided" in notes.lower()
        assert "fine here" in notes
        assert "sorry, late" in notes


@pytest.mark.sd("4.1.1")
def test_the_notes_carry_what_the_vos_said(store: FactStore, record: Rollout, tmp_path: Path) -> None:
    answer(store, record, "atlas", "works", "All our tests pass.\nCopies are faster.")
    answer(store, record, "cms", "comment", "Nice.", invited=False)
    _, text, page = write(store, record, tmp_path)
    assert "no feedback was provided" not in (text + page).lower()
    assert "No feedback came from ops" in text
    assert "its author" not in text + page, "who wrote it is not published"
    matches_snapshot("release_notes_feedback.txt", text)


def test_notes_are_not_written_while_feedback_may_still_come(store: FactStore, record: Rollout, tmp_path: Path) -> None:
    with pytest.raises(NotYetAllowedError, match="feedback is open"):
        write_release_notes(
            at_desk(record, store, templates=templates(), patch=PATCH, now=DUE, actor="pps"), PublishedFolder(tmp_path)
        )
    assert list(tmp_path.iterdir()) == []


def test_writing_twice_changes_neither_files_nor_record_and_a_late_answer_does(
    store: FactStore, record: Rollout, tmp_path: Path
) -> None:
    first, *_ = write(store, record, tmp_path)
    before = store.rollout(record.name)
    again, *_ = write(store, record, tmp_path)
    assert again == first
    assert store.rollout(record.name) == before
    answer(store, record, "atlas", "works", "", at=timedelta(days=20))
    other, text, _ = write(store, record, tmp_path)
    assert other != first
    assert "late: works" in text


def test_notes_of_a_stopped_preview_do_not_speak_of_a_date_to_come(
    store: FactStore, record: Rollout, tmp_path: Path
) -> None:
    store.record(Fact(record.name, FactKind.ROLLOUT_STOPPED, "", "", NOW, "pps", {"reasons": ["x"]}))
    write_release_notes(
        at_desk(store.rollout(record.name), store, templates=templates(), patch=PATCH, now=NOW, actor="pps"),
        PublishedFolder(tmp_path),
    )
    for file in (tmp_path / "release-notes").iterdir():
        assert "none answered before the preview was stopped" in " ".join(file.read_text().split())


def classified(store: FactStore, name: str = "BDII_IPV6_SUPPORT", after: str = "yes") -> None:
    """Two variables are new, one has gone, and the Release Manager knows better."""
    classification = Classification(
        ClientVerdict.NON_BC,
        (
            YaimChange(
                name, ChangeKind.NEW_MANDATORY_WITH_DEFAULT, "opt/glite/yaim/functions/config_bdii", None, after
            ),
            YaimChange("BDII_OLD", ChangeKind.DROPPED, "opt/glite/yaim/services/glite-bdii"),
        ),
        ("SE_LIST",),
        (),
        ("glite-yaim-bdii-4.3.10-1.noarch: compared with glite-yaim-bdii-4.3.9-1.noarch, in production.",),
        ("because",),
        subject_of(PATCH),
    )
    fact = Fact(dossier_name(PATCH.number), FactKind.CLASSIFIED, "", "x", NOW, "pps", classification.payload)
    store.record_in_dossier(PATCH.number, fact)


@pytest.mark.sd("4.1.2")
def test_the_notes_tell_how_the_patch_was_classified_and_compared(
    store: FactStore, record: Rollout, tmp_path: Path
) -> None:
    classified(store)
    _, text, page = write(store, record, tmp_path)
    for notes in (" ".join(text.split()), page):
        assert "not backward compatible" in notes.lower()
        assert "BDII_IPV6_SUPPORT is new and mandatory" in notes
        assert "SE_LIST is new (tracker)" in notes
        assert "BDII_OLD is no longer used" in notes
        assert "compared with glite-yaim-bdii-4.3.9-1.noarch" in notes
        assert "Release Manager" not in notes
        assert "no variable is new" not in notes


@pytest.mark.sd("4.1.2")
def test_the_notes_tell_who_overruled_the_classification_and_why_without_an_address(
    store: FactStore, record: Rollout, tmp_path: Path
) -> None:
    classified(store)
    overrule(
        at_office(store, now=NOW, actor="ada@example.org"),
        PATCH,
        ClientVerdict.BC,
        "These variables are for servers only.",
    )
    _, text, page = write(store, record, tmp_path)
    for notes in (" ".join(text.split()), page):
        assert "The Release Manager overruled it" in notes
        assert "These variables are for servers only." in notes
        assert "ada@example.org" not in notes
    matches_snapshot("release_notes_overruled.txt", text)


@pytest.mark.sd("4.1.3")
def test_the_notes_say_that_the_policies_were_overruled_by_whom_and_why_and_wait_for_no_feedback(
    store: FactStore, record: Rollout, tmp_path: Path
) -> None:
    name = dossier_name(PATCH.number)
    decision = {
        "urgency": "urgent",
        "reason": "A disclosed hole in the proxy renewal. <script>",
        "by": {"EMT": "ada", "PPS Coordinator": "grace"},
        "state": "In certification",
    }
    fact = Fact(name, FactKind.POLICIES_OVERRULED, "", "overrule-4711-1", NOW, "pps", decision)
    store.record_in_dossier(PATCH.number, fact)
    # long before the agreed date
    write_release_notes(
        at_desk(
            store.rollout(record.name),
            store,
            templates=templates(),
            patch=PATCH,
            now=NOW + timedelta(minutes=20),
            actor="x",
        ),
        PublishedFolder(tmp_path),
    )
    text, page = ((tmp_path / "release-notes" / f"{record.name}.{kind}").read_text() for kind in ("txt", "html"))
    for notes in (" ".join(text.split()), " ".join(page.split())):
        assert "EMT and PPS Coordinator" in notes
        assert "none answered before it went out: the policies were overruled" in notes
    assert "<script>" not in page
    matches_snapshot("release_notes_policies_overruled.txt", text)


@pytest.mark.parametrize("text", [*HTML, *JINJA])
def test_text_of_packages_and_of_the_release_manager_stays_text(
    store: FactStore, record: Rollout, tmp_path: Path, text: str
) -> None:
    classified(store, after=text)
    overrule(at_office(store, now=NOW, actor="rm"), PATCH, ClientVerdict.BC, f"Because: {text}")
    _, plain, page = write(store, record, tmp_path)
    assert " ".join(text.split()) in " ".join(plain.split()).replace(" > ", " ")
    assert str(escape(text)) in page, "what packages say is plain text"
    assert as_html(f"Because: {text}") in page, "what people say is Markdown, cleaned"
    assert "<" not in text or text not in page


@pytest.mark.parametrize("text", [*HTML, *JINJA])
def test_text_of_vos_and_tracker_stays_text(store: FactStore, record: Rollout, tmp_path: Path, text: str) -> None:
    answer(store, record, "atlas", "comment", text)
    patch = dataclasses.replace(PATCH, title=text, release_notes=text, special_configuration=text)
    _, plain, page = write(store, record, tmp_path, patch)
    assert plain.count(clean_text(text)) >= 3
    assert str(escape(text)) in page, "a title is plain text"
    assert page.count(as_html(text)) == 3, "what people say is Markdown, cleaned"
    assert "<" not in text or text not in page


@pytest.mark.sd("4.1.2")
def test_a_deployment_test_that_ends_after_the_feedback_stands_in_the_notes_before_the_release(
    store: FactStore, record: Rollout, tmp_path: Path
) -> None:
    def renew() -> str:
        renew_release_notes(
            at_desk(store.rollout(record.name), store, templates=templates(), patch=PATCH, now=AFTER, actor="pps"),
            PublishedFolder(tmp_path),
        )
        file = tmp_path / "release-notes" / f"{record.name}.txt"
        return file.read_text() if file.exists() else ""

    assert renew() == ""
    _, first, _ = write(store, record, tmp_path)
    assert renew() == first
    bench = Bench(store, tmp_path)
    bench.run()
    bench.site_answers(ScenarioResult.PASS)
    bench.close()
    assert "Deployment test" not in first
    assert f"({bench.name}); the outcome is: passed" in " ".join(renew().split())


def test_an_answer_that_a_vo_has_replaced_is_shown_as_that(store: FactStore, record: Rollout, tmp_path: Path) -> None:
    answer(store, record, "atlas", "problem", "Jobs hang.")
    answer(store, record, "atlas", "works", "It was our own firewall.", at=timedelta(hours=1))
    _, text, page = write(store, record, tmp_path)
    assert "problem (replaced by the later one)" in text
    assert text.index("It was our own firewall.") < text.index("Jobs hang.")
    assert page.count("replaced by the later one") == 1


@pytest.mark.sd("4.2.2")
def test_the_notes_do_not_say_passed_alone_where_an_optional_scenario_failed(
    store: FactStore, record: Rollout, tmp_path: Path
) -> None:
    ended = outcome_of(
        (a_scenario(), ScenarioResult.PASS), (a_scenario("wn-dpm", system="dpm", mandatory=False), ScenarioResult.FAIL)
    )
    shown = release_notes.notes(record, PATCH, None, ended)
    wanted = "passed; optional scenario wn-dpm failed"
    pages = [templates().render(f"release_notes.{kind}", shown) for kind in ("txt", "html")]
    assert f"the outcome is: {wanted}." in " ".join(pages[0].split())
    assert f"<strong>{wanted}</strong>" in pages[1]
