"""What VOs have said of a preview, as everybody may see it: the whole, and beside it each bug and test case."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pps.domain.people.feedback import VoAnswer, summary
from pps.domain.record.rollouts import Rollout


def feedback_view(record: Rollout) -> Mapping[str, Any]:
    """Who was asked until when, who says what, and the count of each bug and test case, for JSON and pages.

    Texts are in the release notes; so is what came late, or without an invitation. Of an answer that was withdrawn it
    is told that there was one. Pass it through the door to the public (`shown_to_the_public`).
    """
    said = summary(record)
    return {
        "until": _iso(said.due) if said.due else None,
        "outcome": said.outcome.value,
        "invited": len(said.invited),
        "answered": len({a.vo for a in said.counting}),
        "vos": sorted(said.invited),
        "said": [answer_view(a) for a in said.counting],
        "bugs": [
            {"bug": int(t.name), "fixed": t.good, "not_fixed": t.bad, "not_tried": t.not_tried, "words": t.words}
            for t in said.bugs
        ],
        "test_cases": [
            {"test_case": t.name, "works": t.good, "does_not_work": t.bad, "not_tried": t.not_tried, "words": t.words}
            for t in said.test_cases
        ],
        "withdrawn": [{"vo": a.vo, "at": _iso(a.withdrawn_at)} for a in said.withdrawn if a.invited and a.withdrawn_at],
    }


def answer_view(answer: VoAnswer) -> Mapping[str, Any]:
    """One answer, without its text."""
    return {
        "vo": answer.vo,
        "at": _iso(answer.at),
        "opinion": answer.opinion.value,
        "bugs": {str(number): v.value for number, v in answer.verdicts.bugs.items()},
        "test_cases": {name: v.value for name, v in answer.verdicts.test_cases.items()},
        "words": answer.words,
        "follow_ups": [{"text": f.text, "role": f.role, "at": _iso(f.at)} for f in answer.follow_ups],
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
