"""The part of `pps pilot show` that tells of people: meetings, who is asked, interest, journal, reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pps.cli import output
from pps.domain.base.texts import one_line

_NEWEST = 10
"""entries of the journal that are shown; `pps pilot journal` shows all"""


def say(data: Mapping[str, Any]) -> None:
    """Print it, and the sites, in the order in which a reader asks."""
    if data["sites"]:
        rows = [(s["site"], s["state"], output.moment(s["since"]), _well(s)) for s in data["sites"]]
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
        lines = [(output.moment(e["at"]), e["who"] or "-", one_line(e["text"], 200)) for e in entries[-_NEWEST:]]
        output.say("", output.table(("JOURNAL", "WHO", "WHAT"), lines))
        if len(entries) > _NEWEST:
            output.say(f"{len(entries) - _NEWEST} earlier entries: pps pilot journal {data['pilot']}")


def _well(site: Mapping[str, Any]) -> str:
    """How available its service was, and of how much of the run nobody knows."""
    if not site["available"]:
        return "-"
    return str(site["available"]) + (f" ({100 * site['not_judged']:.1f} % not seen)" if site["not_judged"] else "")
