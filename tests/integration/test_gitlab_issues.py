"""What is peculiar to GitLab: a text of ours is done as commands where it looks like some."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.support.examples import PATCH
from tests.support.gitlab import PROJECT, GitlabStandIn
from tests.support.stand_in import served

from pps.activities.ports.tracker import Ticket
from pps.adapters.trackers.gitlab import GitlabTracker
from pps.adapters.trackers.http import Secret
from pps.config.tracker_models import TrackerFile, TrackerKind
from pps.domain.packages.patch import PatchState

COMMANDS = "Hello\n/close\n  /label ~Certified\n\\/close\n\\\\/close\r\n/close"


@pytest.fixture
def lab() -> Iterator[GitlabStandIn]:
    with served(lab := GitlabStandIn()):
        yield lab
    assert lab.wrong == []


@pytest.fixture
def tracker(lab: GitlabStandIn) -> GitlabTracker:
    return GitlabTracker(TrackerFile(kind=TrackerKind.GITLAB, url=lab.url, project=PROJECT), Secret("a-token"))


def test_no_text_of_anybody_commands_with_our_rights(lab: GitlabStandIn, tracker: GitlabTracker) -> None:
    patch = replace(PATCH, release_notes=COMMANDS, special_configuration=f"```\n{COMMANDS}\n```")
    number = tracker.enter(patch, submission=COMMANDS.splitlines()[1])
    labels = list(lab.issues[number]["labels"])
    tracker.comment(number, COMMANDS)
    tracker.edit(number, {"operational_changes": COMMANDS})
    # somebody wrote it when it did nothing; we write the whole text anew
    lab.issues[number]["description"] += "\n/close\n"
    tracker.edit(number, {"operational_changes": "none"})
    assert (lab.issues[number]["state"], lab.issues[number]["labels"]) == ("opened", labels)
    plain = COMMANDS.replace("\r\n", "\n")
    found = tracker.patch(number)
    assert (found.release_notes, found.special_configuration) == (plain, f"```\n{plain}\n```")
    assert [r.text for r in tracker.comments(number)] == [plain]


def test_what_gitlab_notes_itself_is_no_comment(lab: GitlabStandIn, tracker: GitlabTracker) -> None:
    number = tracker.enter(PATCH, submission="1")
    tracker.set_state(number, PatchState.CERTIFIED, "")
    assert any(note["system"] for note in lab.notes[number])
    assert tracker.comments(number) == ()


def test_a_mended_ticket_is_closed_and_says_why_once(lab: GitlabStandIn, tracker: GitlabTracker) -> None:
    patch = tracker.enter(PATCH, submission="1")
    number = int(tracker.open_ticket(Ticket("pps:1", patch, "It stops", COMMANDS)).rpartition("/")[2])
    assert (lab.issues[number]["state"], lab.issues[number]["labels"]) == ("opened", ["trouble"])
    for _ in range(2):
        tracker.close_ticket("pps:1", "Mended by 3.1.24.")
    assert lab.issues[number]["state"] == "closed"
    assert [n["body"] for n in lab.notes[number] if not n["system"]] == ["Mended by 3.1.24."]
