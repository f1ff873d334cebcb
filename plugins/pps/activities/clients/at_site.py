"""What a site's own people want to know: what was done there, what comes next and when, what they have wished.

Previews that are open, or ended not long ago, with everything on record of the one site. What it costs does not grow
with the number of other sites, nor with history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from pps.activities.clients.bulletin import stage
from pps.activities.clients.opening import level_for
from pps.activities.clients.standing import tag_of
from pps.activities.ports.record import Facts
from pps.activities.sites.wishes import Wish, all_wishes
from pps.domain.clients.batches import CANARY, KEEPS_US_WAITING, keeps_waiting
from pps.domain.clients.control import pause_of, said_of_pause
from pps.domain.clients.takers import Offer, reason_to_wait, reasons_against_site
from pps.domain.people import questions
from pps.domain.people.feedback import feedback_due
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.domain.record.site_states import STATE_KINDS, SiteState
from pps.domain.record.wishes import RECORD, wishes_in
from pps.domain.sites.site import Site
from pps.domain.sites.wishes import AllWishes, Wishes

#: When the night begins, in UTC: the schedule of dags/nightly_distribution.py.
NIGHT_BEGINS = time(2)
_SHOWN_AFTER_CLOSING = timedelta(days=90)
_MOST_ROLLOUTS = 30
_PROBED = (FactKind.PROBES_PASSED, FactKind.PROBES_FAILED)
_WORDS: Mapping[FactKind, str] = {
    FactKind.PREVIEW_INSTALLED: "installed",
    FactKind.PROBES_PASSED: "probes passed",
    FactKind.PROBES_FAILED: "probes failed",
    FactKind.TAG_ADDED: "tag written",
    FactKind.TAG_SEEN: "tag seen in the information system",
    FactKind.TAG_REMOVED: "tag removed",
    FactKind.SITE_FAILED: "failed",
    FactKind.SITE_LEFT_OUT: "left out",
    FactKind.SITE_PUT_OFF: "put off",
    FactKind.SITE_KEEPS_WAITING: "kept its batch waiting",
    FactKind.PREVIEW_LOST: "no longer whole",
    FactKind.SITE_CONFIGURED: "configured by the site's people",
    FactKind.PREVIEW_REMOVED: "removed",
}


def records_about(facts: Facts, now: datetime) -> tuple[str, ...]:
    """Names of the records that it is made from: the newest rollouts of any path, and what sites wish."""
    shown = facts.rollouts(closed_after=now - _SHOWN_AFTER_CLOSING)[:_MOST_ROLLOUTS]
    return (*(row.name for row in shown), RECORD)


def at_site(facts: Facts, site: Site, now: datetime, retire_after: timedelta) -> Mapping[str, Any]:
    """Everything about one site, for its own people; moments are `datetime`s, free text is as it was written."""
    wishes = all_wishes(facts, now)
    records = [r for n, r in facts.about(records_about(facts, now), site.name).items() if n != RECORD]
    previews = [p for r in records if r.path in PREVIEWS and (p := _preview(r, site, wishes, retire_after))]
    asked = [_question(r, q) for r in records for q in questions.questions(r) if questions.is_open(r, q)]
    view = {
        "site": site.name,
        "roc": site.roc,
        "platform": str(site.platform),
        "timezone": site.timezone,
        "accepts_previews": site.accepts_previews,
        "wishes": wishes_view(wishes.of(site.name), site, now),
        "previews": previews,
        "questions": sorted(asked, key=lambda q: q["due"]),
    }
    return {**view, "dates": _dates(view)}


def wishes_view(wishes: Wishes, site: Site, now: datetime) -> Mapping[str, Any]:
    """What a site wishes; it names no person but in its reasons."""
    windows, zone = wishes.windows, site.timezone
    is_open = windows is not None and windows.is_open(now, zone)
    return {
        "windows": windows
        and {
            "words": str(windows),
            "each": [
                {"words": str(w), "days": list(w.days), "begins": f"{w.begins:%H:%M}", "ends": f"{w.ends:%H:%M}"}
                for w in windows.each
            ],
            "open": is_open,
            "opens": None if is_open else windows.opens(now, zone),
            "closes": windows.closes(now, zone) if is_open else None,
        },
        "pins": [
            {"what": p.what, "metapackage": p.metapackage, "version": p.version, "reason": p.reason, "since": p.since}
            for p in wishes.pins
        ],
        "opt_out": wishes.opt_out and {"reason": wishes.opt_out.reason, "since": wishes.opt_out.since},
    }


def what_follows(facts: Facts, wish: Wish, now: datetime) -> tuple[str, ...]:
    """What a wish would change, as sentences; none: nothing that is open now. Has no effect."""
    site, before = wish.site, all_wishes(facts, now)
    said = Fact(RECORD, wish.kind, site.name, "not said", now, "", wish.says)
    record = facts.standing([RECORD])[RECORD]
    after = wishes_in(Rollout(RECORD, (*record.facts, said)), now)
    found = []
    if after.of(site.name).windows != before.of(site.name).windows:
        wait = reason_to_wait(site, after)
        found.append(f"Nothing is written there now. {wait}" if wait else "We may write there now.")
    for one in facts.about(records_about(facts, now), site.name).values():
        if one.name == RECORD or one.path not in PREVIEWS or one.is_over:
            continue
        software = _software(one)
        if _may_take(one, site, before) and not _may_take(one, site, after):
            lies = one.holds_preview(site.name)
            found.append(f"{software} lies there, and is left." if lies else f"{software} does not come.")
        elif _may_take(one, site, after) and not _may_take(one, site, before):
            found.append(f"{software} comes, with the next night or window.")
    return tuple(found)


def _software(record: Rollout) -> str:
    return f"{record.opened.get('metapackage', '')} {record.opened.get('version', '')}".strip()


# --- one preview -------------------------------------------------------------------------------------------------


def _preview(record: Rollout, site: Site, wishes: AllWishes, retire_after: timedelta) -> dict[str, Any] | None:
    """None where it has nothing to do with the site."""
    story = [f for f in record.facts if f.subject == site.name and f.kind in STATE_KINDS]
    planned = site.name in record.planned_sites
    to_come = not record.is_over and not record.has(FactKind.PLAN_AGREED) and _may_take(record, site, wishes)
    if not (story or planned or to_come):
        return None
    progress, closed = record.progress(site.name), record.the(FactKind.ROLLOUT_CLOSED)
    held = record.holds_preview(site.name) or record.announces(site.name)
    coming = _what_comes(record, site, wishes)
    return {
        "rollout": record.name,
        "software": _software(record),
        "stage": stage(record),
        "state": progress.state.value,
        "since": progress.fact.at if progress.fact else None,
        "reason": progress.reason,
        "tag": tag_of(record),
        "announced": record.announces(site.name),
        "batch": _batch(record, site.name),
        "not_before": coming.at,
        "because": list(coming.because),
        "done": [_done(record, f) for f in story],
        "probes": _probes(story),
        "feedback_until": feedback_due(record) if not record.is_over else None,
        "leaves": closed.at + retire_after if closed and held else None,
    }


def _may_take(record: Rollout, site: Site, wishes: AllWishes) -> bool:
    return not reasons_against_site(site, Offer.of(record, level_for(record.path)), wishes)


def _batch(record: Rollout, site: str) -> str:
    """Which batch of the agreed plan it is in, in words; "" for none."""
    plan = record.the(FactKind.PLAN_AGREED)
    batches: Mapping[str, Sequence[str]] = plan.payload["batches"] if plan else {}
    later = [name for name in batches if name != CANARY]
    mine = next((name for name, sites in batches.items() if site in sites), None)
    if mine is None:
        return ""
    return "among the first sites" if mine == CANARY else f"batch {later.index(mine) + 1} of {len(later)}"


@dataclass(frozen=True, slots=True)
class _Coming:
    """What is still to come to a site, and when at the earliest."""

    at: datetime | None = None
    """None: nothing more comes, or nobody can name a date"""
    because: tuple[str, ...] = ()


def _what_comes(record: Rollout, site: Site, wishes: AllWishes) -> _Coming:
    """The earliest date that the record, the site's wishes and our nights allow, with the reasons."""
    state, windows = record.progress(site.name).state, wishes.of(site.name).windows
    if record.is_over or state is SiteState.AVAILABLE or not record.may_test(site.name):
        return _Coming()
    if not _may_take(record, site, wishes):
        return _Coming(None, reasons_against_site(site, Offer.of(record, level_for(record.path)), wishes))
    because = [said_of_pause(pause)] if (pause := pause_of(record)) else []
    closed = windows is not None and not windows.is_open(wishes.at, site.timezone)
    opens = windows.opens(wishes.at, site.timezone) if windows else wishes.at
    if record.is_open_preview:
        if windows is None:
            return _Coming(_next_night(wishes.at), (*because, "The next night tries again."))
        because.append(
            "It is tried when its next window opens."
            if closed
            else "It is tried within the hour, while its present window lasts."
        )
        return _Coming(opens, tuple(because))
    if not record.has(FactKind.PLAN_AGREED):
        because.append("The tarball is built first; then its batches are agreed on.")
    elif record.is_planned(CANARY) and not record.has(FactKind.GATE_PASSED) and site.name not in record.batch(CANARY):
        because.append("The first sites must have it, and pass.")
    elif keeps_waiting(record.progress(site.name)):
        because.append(KEEPS_US_WAITING)
    elif state is SiteState.PLANNED:
        because.append("Its batch has its turn as soon as those before it are done.")
    else:
        because.append("Its distribution is under way.")
    if closed:
        because.append("The site's window is closed until then.")
    return _Coming(opens if closed else None, tuple(because))


def _next_night(now: datetime) -> datetime:
    night = datetime.combine(now.astimezone(UTC).date(), NIGHT_BEGINS, UTC)
    return night if night > now else night + timedelta(days=1)


def _done(record: Rollout, fact: Fact) -> dict[str, Any]:
    """One thing that was done, with its receipt where there is one."""
    says = fact.payload
    done: dict[str, Any] = {
        "at": fact.at,
        "what": _WORDS[fact.kind],
        "reason": str(says.get("reason", "")),
        "receipt": None,
    }
    if fact.kind is FactKind.PREVIEW_INSTALLED:
        built = next(
            (
                f.payload
                for f in reversed(record.facts)
                if f.kind is FactKind.TARBALL_BUILT and f.payload.get("name") == says.get("tarball")
            ),
            {},
        )
        done["receipt"] = {
            "tarball": says.get("tarball", ""),
            "how": says.get("how", ""),
            "bytes": says.get("bytes"),
            "seconds": says.get("seconds"),
            "digest": built.get("digest", ""),
            "size": built.get("size"),
        }
    return done


def _probes(story: Sequence[Fact]) -> dict[str, Any] | None:
    """What the probes said last."""
    newest = next((f for f in reversed(story) if f.kind in _PROBED), None)
    if newest is None:
        return None
    return {
        "at": newest.at,
        "passed": newest.kind is FactKind.PROBES_PASSED,
        "results": [
            {key: str(result.get(key, "")) for key in ("probe", "state", "text", "perfdata")}
            for result in newest.payload.get("results", ())
        ],
    }


# --- questions and dates -----------------------------------------------------------------------------------------


def _question(record: Rollout, asked: questions.Question) -> dict[str, Any]:
    return {
        "rollout": record.name,
        "title": asked.title or asked.step,
        "due": asked.due,
        "whose": list(asked.assigned_to),
        "link": asked.link,
    }


def _dates(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is known of the days to come, the next first."""
    found = [
        {"at": q["due"], "what": f"An answer is awaited: {q['title']}", "rollout": q["rollout"]}
        for q in view["questions"]
    ]
    for p in view["previews"]:
        for key, what in (
            ("not_before", f"The earliest moment at which {p['software']} comes to this site"),
            ("feedback_until", f"Feedback on {p['software']} ends"),
            ("leaves", f"{p['software']} leaves this site, in the night that follows"),
        ):
            if p[key]:
                found.append({"at": p[key], "what": what, "rollout": p["rollout"]})
    windows = view["wishes"]["windows"]
    if windows:
        word = "opens" if windows["opens"] else "closes"
        if at := windows[word]:
            found.append({"at": at, "what": f"The window {word}", "rollout": ""})
    return sorted(found, key=lambda d: d["at"])
