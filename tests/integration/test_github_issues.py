"""Patches as issues: who may say what, and what is left alone. GitLab's are read and written by the same code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.support.examples import PATCH
from tests.support.github import REPOSITORY, GithubStandIn
from tests.support.stand_in import Answered, served

from pps.activities.ports.tracker import Ticket
from pps.adapters.trackers.github import GithubTracker
from pps.adapters.trackers.http import Secret
from pps.config.tracker_models import TrackerFile, TrackerKind
from pps.domain.base.errors import ConfigurationError, PatchNotFoundError, RefusedError, ServiceError
from pps.domain.packages.patch import PatchState

pytestmark = pytest.mark.needs("github-openapi")


@pytest.fixture
def hub() -> Iterator[GithubStandIn]:
    with served(hub := GithubStandIn()):
        yield hub
    assert hub.wrong == []


@pytest.fixture
def tracker(hub: GithubStandIn) -> GithubTracker:
    return opened(hub)


def opened(hub: GithubStandIn, **more: object) -> GithubTracker:
    file = TrackerFile(kind=TrackerKind.GITHUB, url=hub.url, project=REPOSITORY, **more)
    return GithubTracker(file, Secret("a-token"), pause_s=0)


def labels(hub: GithubStandIn, number: int) -> set[str]:
    return {label["name"] for label in hub.issues[number]["labels"]}


def test_what_certification_says_is_not_for_whoever_may_edit_the_text(
    hub: GithubStandIn, tracker: GithubTracker
) -> None:
    patch = replace(PATCH, basic_certification_passed=False, install_tested=())
    number = tracker.enter(patch, submission="1")
    hub.issues[number]["body"] += (
        "### basic_certification_passed\n\nyes\n\n### install_tested\n\ndebian12-amd64\n\n"
        "### programming_ph\n\n8\n\n### state\n\nCertified\n\n### number\n\n1\n\n### title\n\nAnother\n"
    )
    assert tracker.patch(number) == replace(patch, number=number)


def test_a_section_that_stands_twice_makes_the_patch_unreadable_rather_than_another_one(
    hub: GithubStandIn, tracker: GithubTracker
) -> None:
    number = tracker.enter(PATCH, submission="1")
    hub.issues[number]["body"] += "### packages\n\nanother 1 noarch\n"
    reading = tracker.readings(number)[0]
    assert reading.patch is None
    assert reading.problems == ("packages: its heading stands more than once in the issue",)


def test_an_edit_leaves_labels_and_sections_of_others_alone(hub: GithubStandIn, tracker: GithubTracker) -> None:
    number = tracker.enter(PATCH, submission="1")
    hub._label(hub.issues[number], ["good first issue", "install_tested: debian11-amd64"])
    hub.issues[number]["body"] = "Hello!\r\n\r\n### Contact\r\n\r\nme\r\n\r\n" + hub.issues[number]["body"]
    tracker.edit(number, {"version": "3.2", "install_tested": ["debian12-arm64"]})
    assert hub.issues[number]["body"].startswith("Hello!\r\n\r\n### Contact\r\n\r\nme\r\n\r\n### metapackage")
    kept = {"patch", "In certification", "basic_certification_passed", "good first issue"}
    assert labels(hub, number) == kept | {"install_tested: debian12-arm64"}


def test_a_move_that_broke_off_is_finished_by_the_next_attempt_and_told_once(
    hub: GithubStandIn, tracker: GithubTracker
) -> None:
    number = tracker.enter(PATCH, submission="1")
    real, answers = hub.answer, []

    def breaks_off(asked):
        answers.append(asked.method)
        return Answered(500, {"message": "broken"}) if asked.method == "DELETE" else real(asked)

    hub.answer = breaks_off
    with pytest.raises(ServiceError):
        tracker.set_state(number, PatchState.CERTIFIED, "It is well.")
    assert {"In certification", "Certified"} <= labels(hub, number)
    reading = tracker.readings(number)[0]
    assert reading.problems == ("state: it must have exactly one, and has Certified, In certification",)
    hub.answer = real
    tracker.set_state(number, PatchState.CERTIFIED, "It is well.")
    assert tracker.patch(number).state is PatchState.CERTIFIED
    assert len(tracker.comments(number)) == 1
    hub.wrong = [why for why in hub.wrong if "HTTP 500" not in why]


def test_an_issue_without_our_label_and_a_pull_request_are_no_patches(
    hub: GithubStandIn, tracker: GithubTracker
) -> None:
    plain, request = (tracker.enter(PATCH, submission=name) for name in ("1", "2"))
    hub.issues[plain]["labels"] = [one for one in hub.issues[plain]["labels"] if one["name"] != "patch"]
    links = dict.fromkeys(("diff_url", "html_url", "patch_url", "url"), "https://github.example.org/x")
    hub.issues[request] |= {"pull_request": links, "html_url": f"{hub.url}/{REPOSITORY}/pull/{request}"}
    assert tracker.patches() == ()
    for number in (plain, request):
        with pytest.raises(PatchNotFoundError, match="no patch"):
            tracker.patch(number)
        with pytest.raises(PatchNotFoundError, match="no patch"):
            tracker.comment(number, "x")


def test_a_list_is_asked_for_page_by_page_and_no_issue_by_itself(hub: GithubStandIn, tracker: GithubTracker) -> None:
    for name in "123":
        tracker.enter(PATCH, submission=name)
    hub.asked.clear()
    assert len(tracker.patches()) == 3
    assert [dict(asked.query).get("page", "1") for asked in hub.asked] == ["1", "2"]


def test_a_text_that_is_too_long_is_refused_and_a_comment_cut_where_it_says_so(
    hub: GithubStandIn, tracker: GithubTracker
) -> None:
    with pytest.raises(RefusedError, match="Validation Failed"):
        tracker.enter(replace(PATCH, release_notes="x" * 70_000), submission="1")
    number = tracker.enter(PATCH, submission="1")
    for _ in range(2):
        tracker.comment(number, "x" * 70_000)
    (said,) = tracker.comments(number)
    assert len(said.text) < 65_536
    assert said.text.endswith("[cut here: GitHub takes no longer comment]")


def test_a_word_that_cannot_be_a_label_is_refused_at_once(hub: GithubStandIn) -> None:
    with pytest.raises(ConfigurationError, match="comma"):
        opened(hub, states={PatchState.CERTIFIED: "certified, at last"})


def test_a_tick_box_of_a_form_is_a_flag_and_a_choice_of_several_a_list(
    hub: GithubStandIn, tracker: GithubTracker
) -> None:
    number = tracker.enter(PATCH, submission="1")
    body = hub.issues[number]["body"]
    body = body.replace("### new_functionality\n\nno", "### new_functionality\n\n- [X] It does something new")
    hub.issues[number]["body"] = body.replace("debian12-amd64\ndebian12-arm64", "debian12-amd64, debian12-arm64")
    assert tracker.patch(number) == replace(PATCH, number=number, new_functionality=True)


def test_a_mended_ticket_is_closed_and_says_why_once(hub: GithubStandIn, tracker: GithubTracker) -> None:
    ticket = Ticket("pps:1", tracker.enter(PATCH, submission="1"), "It does not start", "On 3 of 4.")
    page = tracker.open_ticket(ticket)
    number = int(page.rpartition("/")[2])
    assert labels(hub, number) == {"trouble"}
    assert hub.issues[number]["state"] == "open"
    for _ in range(2):
        tracker.close_ticket("pps:1", "Mended by 3.1.24.")
    assert hub.issues[number]["state"] == "closed"
    assert [c["body"] for c in hub.comments[number]] == ["Mended by 3.1.24."]
