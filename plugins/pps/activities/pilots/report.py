"""The post-mortem report of a pilot, one for each site: set-up, resources, stability, issues (SD 4.1.3, 9)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pps.activities.desk import Desk
from pps.activities.pilots.set_up import STEP as SET_UP_STEP
from pps.activities.pilots.set_up import field, justification
from pps.activities.ports.publication import PublicationFolder
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import shown_to_the_public
from pps.domain.packages.patch import Patch
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.people.users import users_in
from pps.domain.pilots import looks, rules
from pps.domain.pilots import pilot as pilots
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site

STEP = pilots.REPORT
REPORT = "Report"
OPTIONS = (REPORT,)
FOLDER = "pilots"
FIELDS = ("set_up", "resources", "stability", "issues")


class ShownOutage(NamedTuple):
    """An outage as a report shows it."""

    began: datetime
    ended: datetime | None
    lasted: timedelta
    text: str


def facts_of_report(desk: Desk, site: str, given: Given) -> tuple[Fact, ...]:
    """What follows from a report: nothing but the report itself (`write_report` keeps it), if it says what it must.

    Raises:
        RefusedError: it says nothing about resources and stability, which no probe of ours can see.
    """
    if missing := [name for name in ("resources", "stability") if not field(given.form, name)]:
        reason = f"The report does not say anything about: {', '.join(missing)}."
        raise RefusedError(f"report of {site}", (reason,), "Source: SD 4.1.3, 9: resource consumption, stability.")
    return ()


def report_view(
    record: Rollout,
    patch: Patch,
    site: Site,
    form: Mapping[str, Any],
    until: datetime,
    *,
    incident_after: timedelta,
    answered: bool = False,
) -> dict[str, Any]:
    """The view of `pilot_report.*` and of the form's body: what we know, and what the site's people say.

    It holds no clock time of its own, so that it is repeatable. The report is published, so all of it has gone
    through `shown_to_the_public`.

    Args:
        form: empty where the site has said nothing; then the report says so.
        until: the end of what is looked at, where neither roll-back nor the end of the run came before.
    """
    pilot = Pilot(record)
    installed, counted = pilot.newest_set_up(site.name), looks.observed(pilot, site.name, until)
    seen = looks.availability(pilot, site.name, until)
    if installed is None or counted is None or seen is None:
        raise NotYetAllowedError(
            f"{record.name} at {site.name}", "no pilot service was set up there.", "Nothing to do."
        )
    begin, end = counted
    outages = [
        ShownOutage(o.began, o.ended, (o.ended or end) - o.began, o.text)
        for o in looks.outages(looks.samples(record, site.name))
        if o.began < end
    ]
    ended, rolled_back = pilot.run_ended, pilot.rolled_back(site.name)
    allowed = justification(record)
    set_up = questions.decisive(record, SET_UP_STEP, site.name)
    view = {
        "rollout": record.name,
        "patch": patch,
        "site": site,
        "round": pilot.round,
        "pilot": installed.payload,
        "set_up_at": installed.at,
        "observed_from": begin,
        "observed_until": end,
        "observed_for": end - begin,
        "availability": seen.text,
        "up": seen.up,
        "down": seen.down,
        "unknown": seen.unknown,
        "days_looked": looks.days_looked(record, site.name),
        "outages": outages,
        "incidents": [o for o in outages if o.lasted >= incident_after],
        "journal": list(looks.journal(record, site.name)),
        "rolled_back": rolled_back.payload if rolled_back else None,
        "outcome": ended.payload["outcome"] if ended else "",
        "outcome_reason": ended.payload.get("reason", "") if ended else "",
        "not_certified": allowed.payload["reason"] if allowed else "",
        "set_up_remarks": field(set_up.form, "remarks") if set_up else "",
        "said": {name: field(form, name) for name in FIELDS},
        "answered": answered,
    }
    return dict(shown_to_the_public(view, users_in(record)))


def write_report(desk: Desk, site: Site, folder: PublicationFolder, *, incident_after: timedelta) -> str:
    """Write `pilots/<rollout>/<site>.html` and `.txt` below `folder`; returns the digest of their content.

    Written again from the same facts they are the same, and so is the record. Where the site's people have said
    nothing in time, the report is what we have seen, and says that.

    Raises:
        NotYetAllowedError: the run goes on, or no service was set up there.
    """
    record = desk.rollout
    pilot = Pilot(record)
    rules.may_report(pilot, site.name)
    said = questions.decisive(record, STEP, site.name)
    view = report_view(
        record,
        desk.patch,
        site,
        said.form if said else {},
        pilot.run_ended_at or desk.now,
        incident_after=incident_after,
        answered=said is not None,
    )
    files = {
        f"{FOLDER}/{record.name}/{site.name}.{kind}": desk.templates.render(f"pilot_report.{kind}", view)
        for kind in ("html", "txt")
    }
    digest = hashlib.sha256("\0".join(files.values()).encode()).hexdigest()[:16]
    for name, text in files.items():
        folder.publish(name, text)
    payload = {"files": sorted(files), "digest": digest, "answered": said is not None}
    desk.record(desk.fact(FactKind.REPORT_WRITTEN, site.name, digest, payload))
    return digest
