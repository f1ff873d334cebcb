"""The part of `pps pilot show` that tells of people: meetings, who is asked, interest, journal, reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pps.activities.pilots import meetings
from pps.activities.pilots.wrap_up import report_links, results
from pps.cli import output
from pps.cli.front import Front
from pps.domain.base.texts import one_line
from pps.domain.people import questions
from pps.domain.pilots import looks
from pps.domain.record.rollouts import Rollout

_NEWEST = 10
"""entries of the journal that are shown; `pps pilot journal` shows all"""


def more(here: Front, record: Rollout) -> dict[str, Any]:
    """The keys for that part, of one round."""
    url = here.services.config.service.public_url
    return {
        "meetings": [
            {
                "meeting": what,
                "starts": datetime.fromisoformat(called.payload["starts"]),
                "ends": datetime.fromisoformat(called.payload["ends"]),
                "moved": "/" in called.occasion,
            }
            for what in meetings.MEETINGS
            if (called := meetings.meeting(record, what))
        ],
        "questions": [
            {"who": asked.subject, "step": asked.step, "what": asked.title, "due": asked.due}
            for asked in questions.questions(record)
            if questions.is_open(record, asked)
        ],
        "reports": report_links(results(record, here.now()), url),
        "journal": looks.journal(record),
    }


def say(data: Mapping[str, Any]) -> None:
    """Print it, and the sites, in the order in which a reader asks."""
    if data["sites"]:
        rows = [(s["site"], s["state"], output.moment(s["since"]), s["available"] or "-") for s in data["sites"]]
        output.say("", output.table(("SITE", "STATE", "SET UP", "WELL"), rows))
        output.say(*(f"{s['site']}: {s['note']}" for s in data["sites"] if s["note"]))
    if data["questions"]:
        asked = [(output.moment(q["due"]), q["who"], one_line(q["what"], 200)) for q in data["questions"]]
        output.say("", output.table(("ANSWER BY", "ASKED", "WHAT"), asked))
    if data["interested"]:
        output.say("", output.table(("VO", "WANTS"), data["interested"].items()))
    if data["reports"]:
        output.say("", output.table(("REPORT OF", "ADDRESS"), data["reports"].items()))
    if entries := data["journal"]:
        lines = [(output.moment(e.at), e.who or "-", one_line(e.text, 200)) for e in entries[-_NEWEST:]]
        output.say("", output.table(("JOURNAL", "WHO", "WHAT"), lines))
        if len(entries) > _NEWEST:
            output.say(f"{len(entries) - _NEWEST} earlier entries: pps pilot journal {data['pilot']}")
