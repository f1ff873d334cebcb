"""What demos of pilots look at afterwards: the service itself, mirror, calendars, mails, credits, published pages."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import requests

from pps.activities.packages import mirroring
from pps.activities.packages.fetching import kept_packages
from pps.activities.people.effort import credits_on_record
from pps.activities.people.invitation import MIME_TYPE
from pps.activities.pilots.meetings import KICK_OFF, WRAP_UP, meeting
from pps.domain.packages.patch import Patch
from pps.domain.people.effort import Credit, Grouping, Total, totals
from pps.domain.pilots import looks as pilot_looks
from pps.domain.pilots.looks import JournalEntry
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.endpoints import parse_endpoint
from pps.sandbox.demo import looks
from pps.sandbox.demo.pilot import PilotDemo
from pps.sandbox.demo.play import DemoSummary, Table
from pps.sandbox.grid.pilot_service import FIRST_VERSION
from pps.sandbox.grid.smtp import KeptMail, kept_mails, read_mail

#: SD 4.1.3, table: who has how many credits for which completed activity.
Earned = Mapping[tuple[str, str], int]

_COORDINATOR, _SITE, _VO = "pps-coordinator", "", "VO"
#: Of a round, in SD's own numbers; "" stands for the site. Weeks of support count when they are full.
EVERY_ROUND: Earned = {
    ("pilot-kickoff-organisation", _COORDINATOR): 2,
    ("pilot-kickoff-participation", _COORDINATOR): 2,
    ("pilot-kickoff-participation", _SITE): 2,
    ("pilot-post-mortem", _SITE): 4,
    ("pilot-wrap-up", _COORDINATOR): 2,
    ("pilot-wrap-up", _SITE): 2,
}
FIRST_ROUND: Earned = {
    **EVERY_ROUND,
    ("pilot-pre-screening", _COORDINATOR): 6,
    ("pilot-instruction", _COORDINATOR): 2,
    ("pilot-setup", _SITE): 12,
}
EACH_VO: Earned = {("pilot-kickoff-participation", _VO): 2, ("pilot-wrap-up", _VO): 2}


# --- at the site --------------------------------------------------------------------------------


def service(demo: PilotDemo, summary: DemoSummary) -> None:
    """The site's service answers, and the information system shows it there: both in the pilot's version."""
    there = demo.sites_there()[demo.site]["service"]
    endpoint = parse_endpoint(str(there["endpoint"]))
    try:
        said = requests.get(endpoint.url, timeout=10).json()
    except (requests.RequestException, ValueError) as error:
        said = {"version": f"nothing ({type(error).__name__})"}
    answers = str(said.get("version", ""))
    published = demo.services.information_system.services_of([endpoint.host]).get(endpoint.host, ())
    shown = ", ".join(s.version for s in published if s.is_at(endpoint)) or "nothing"
    for who, found in (("The service", answers), ("The information system", shown)):
        summary.expect(found == demo.version, f"{who} at {demo.site} says {found}, not {demo.version}.")
    before = there["previous"]
    summary.expect(before == FIRST_VERSION, f"{demo.site} could roll back to {before!r}, not to {FIRST_VERSION}.")
    row = {"site": demo.site, "endpoint": endpoint.url, "answers": answers, "shown": shown, "before": before}
    columns = {
        "site": "site",
        "endpoint": "endpoint",
        "answers": "it answers",
        "shown": "information system",
        "before": "before the pilot",
    }
    summary.tables.append(Table("services", "The service in production", columns, [row]))


def mirror(demo: PilotDemo, summary: DemoSummary, record: Rollout) -> None:
    """The mirror is what it was when it was made, over HTTP as well; the site was given its address."""
    services = demo.services
    address = mirroring.mirror_repository(record, services.mirror_url)
    if address is None:
        summary.problems.append(f"{record.name} has no mirror.")
        return
    with tempfile.TemporaryDirectory(prefix="pps-demo-") as folder:
        over_http = (services.own_repositories, address, Path(folder))
        found = mirroring.verify(record, services.mirrors, over_http=over_http, seal_problems=services.problems_of_seal)
    wrong = [*found.differences.differ, *found.differences.missing, *found.differences.extra, *found.problems]
    summary.expect(found.sound, f"The mirror of {record.name} is not what it was: {' '.join(wrong)}.")
    asked = demo.read.get(f"{record.name}/site.set_up", "")
    line = f"{address.url} {address.suite}"
    summary.expect(line in asked, f"The question to {demo.site} does not name its repository, {line}.")


def same_bytes(demo: PilotDemo, summary: DemoSummary, record: Rollout, patch: Patch) -> None:
    """The packages in production are the very ones that the site installed from the mirror."""
    index = demo.services.production_packages.open(patch.repository.kind)
    there = {str(p.ref): p.sha256 for p in index.newest(patch.packages).values()}
    for name, sha256 in kept_packages(record):
        summary.expect(there.get(name) == sha256, f"{name} in production is not what {demo.site} has run.")


def journal(demo: PilotDemo, summary: DemoSummary, record: Rollout, title: str) -> tuple[JournalEntry, ...]:
    """A table of the journal, as `pps pilot journal` shows it."""
    found = pilot_looks.journal(record)
    rows = [{"at": f"{e.at:%H:%M:%S}", "who": e.who, "by": e.user or "(seen by us)", "text": e.text} for e in found]
    columns = {"at": "UTC", "who": "site", "by": "written by", "text": "what"}
    summary.tables.append(Table("journal", title, columns, rows))
    entries = [f for f in record.facts if f.kind is FactKind.JOURNAL_ENTRY]
    twice = Counter((f.subject, str(f.payload["text"])) for f in entries)
    summary.expect(set(twice.values()) <= {1}, f"The journal of {record.name} says something twice.")
    return found


# --- what people got ----------------------------------------------------------------------------


def meetings(demo: PilotDemo, summary: DemoSummary, record: Rollout, expected: Mapping[str, Iterable[str]]) -> None:
    """Each meeting is in the calendars of those whom SD names: one invitation each, for the date on record.

    Args:
        expected: meeting -> addresses, at least.
    """
    rows = []
    for what in (KICK_OFF, WRAP_UP):
        called = meeting(record, what)
        if called is None:
            summary.problems.append(f"Nobody was invited to the {what} of {record.name}.")
            continue
        starts = datetime.fromisoformat(called.payload["starts"])
        invited = set(called.payload["to"])
        uid = f"UID:{called.payload['uid']}"
        if missing := sorted(set(expected[what]) - invited):
            summary.problems.append(f"Not invited to the {what} of {record.name}: {', '.join(missing)}.")
        for address in sorted(invited):
            calendars = [_calendar(demo, mail) for mail in kept_mails(demo.mails, to=address)]
            dates = [c for c in calendars if uid in c.splitlines() and "METHOD:REQUEST" in c]
            so = len(dates) == 1 and f"DTSTART:{starts:%Y%m%dT%H%M%SZ}" in dates[0]
            summary.expect(so, f"{address} has {len(dates)} invitations to the {what} of {record.name}.")
        rows.append({"what": what, "at": f"{starts:%H:%M:%S}", "to": ", ".join(sorted(invited))})
    columns = {"what": "meeting", "at": "UTC", "to": "invitation for calendars to"}
    summary.tables.append(Table("meetings", f"Meetings of {record.name}", columns, rows))


def _calendar(demo: PilotDemo, kept: KeptMail) -> str:
    """The calendar object of an invitation, its lines unfolded; "" if the mail is none."""
    parts = read_mail(demo.mails, kept).walk()
    text = next((str(p.get_content()) for p in parts if p.get_content_type() == MIME_TYPE), "")
    return text.replace("\r\n ", "").replace("\n ", "")


def no_mail_twice(demo: PilotDemo, summary: DemoSummary) -> None:
    """Nobody has got the same text twice, whatever its Message-ID."""
    told = Counter(
        (m.recipients, m.subject, str(read_mail(demo.mails, m).get_body(("plain",)))) for m in kept_mails(demo.mails)
    )
    for (recipients, subject, _), times in told.items():
        summary.expect(times == 1, f"{', '.join(recipients)} got {subject!r} {times} times.")


def notes(demo: PilotDemo, summary: DemoSummary, record: Rollout, told: Iterable[str]) -> str:
    """The release notes, as a file and as everybody's browser gets them, hold all of this; returns them."""
    text = looks.release_notes(demo, summary, record.name)
    for what in told:
        summary.expect(what in text, f"The release notes do not hold {what!r}.")
    page = requests.get(f"{demo.installation.url}/pps/release-notes/{record.name}.txt", timeout=10)
    seen = " ".join(page.text.replace("\n> ", "\n").split())
    summary.expect(page.status_code == 200 and seen == text, f"The page of {record.name}'s notes says something else.")
    return text


def report(demo: PilotDemo, summary: DemoSummary, record: Rollout) -> str:
    """The site's published post-mortem report on one line; it names no user."""
    file = demo.www / "pilots" / record.name / f"{demo.site}.txt"
    text = " ".join(looks.published(demo, summary, file).replace("\n> ", "\n").split())
    for said in demo.report.values():
        summary.expect(said in text, f"The report of {demo.site} does not hold {said!r}.")
    for user in demo.installation.site_users():
        summary.expect(user not in text, f"The published report of {demo.site} names {user}.")
    return text


# --- credits ------------------------------------------------------------------------------------


def credits(demo: PilotDemo, summary: DemoSummary, expected: Mapping[str, tuple[Earned, Iterable[str]]]) -> None:
    """Who has earned what, as `pps credits` has it: exactly what SD's table gives, each once.

    Args:
        expected: rollout -> what is earned in it, and its committed VOs.
    """
    earned = [c for c in credits_on_record(demo.services.facts) if c.rollout in expected]
    found = Counter((c.rollout, c.activity, c.who, c.credits) for c in earned)
    wanted = Counter(
        (name, activity, who or demo.site, number)
        for name, (table, vos) in expected.items()
        for (activity, who), number in _with_vos(table, vos).items()
    )
    for rollout, activity, who, number in sorted((wanted - found).elements()):
        summary.problems.append(f"{who} does not have the {number} credits for {activity} of {rollout}.")
    for rollout, activity, who, number in sorted((found - wanted).elements()):
        summary.problems.append(f"{who} has {number} credits too many for {activity} of {rollout}.")
    rows = [
        {"who": who, "credits": str(sum(t.credits for t in sums)), "for": _told(sums)}
        for who, sums in ((who, totals(_of(earned, who), Grouping.ACTIVITY)) for who in sorted({c.who for c in earned}))
    ]
    title = "Credits (SD's table; a week of support counts when it is full, and this pilot took seconds)"
    summary.tables.append(Table("credits", title, {"who": "who", "credits": "credits", "for": "for"}, rows))


def _with_vos(table: Earned, vos: Iterable[str]) -> Earned:
    of_vos = {(activity, vo): number for vo in vos for (activity, _), number in EACH_VO.items()}
    return {**table, **of_vos}


def _of(earned: Iterable[Credit], who: str) -> list[Credit]:
    return [c for c in earned if c.who == who]


def _told(sums: Iterable[Total]) -> str:
    return ", ".join(f"{total.key.removeprefix('pilot-')} {total.credits}" for total in sums)
