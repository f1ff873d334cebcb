"""What a site that fetches by itself reports, and what is on record of it from then on (docs/kit.md).

A report tells how things stand, not what has happened: what got lost on its way is in the next one, and the same one
twice changes nothing. Its text is printable and short:

```text
PPS-REPORT 1
PPS-KIT 1 ...                            the kit's answer to `state`, whole
PPS-PROBED <product>@<platform> <sequence> <what production was before, or ->
PPS-PROBE ...                            what the probes said of what that statement had installed
PPS-WRONG <product>@<platform> <text>    what kept it from following
PPS-REPORT-END
```

Whoever has the site's token can say untrue things about that site, as the site itself can; about no other, and no
preview goes anywhere for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pps.activities.clients.distribution import STEP
from pps.activities.clients.probing import read_results
from pps.activities.desk import Desk, Office
from pps.activities.sites.login_errors import cleaned
from pps.activities.sites.script import ScriptOutput
from pps.activities.trust import statements
from pps.activities.trust.kit_state import KitState, read_state
from pps.activities.trust.pull import may_be_fetched
from pps.domain.base.errors import RefusedError, SiteError, SiteRefusedError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.domain.record.site_states import SiteState
from pps.domain.sites.probes import ProbeResult, reasons_against_tag
from pps.domain.sites.site import Site
from pps.domain.trust.statement import Action, Statement

OCCASION = "report"
_PROBED = re.compile(r"PPS-PROBED ([!-~]{1,401}) (\d{1,15}) ([!-~]{1,200})")
_WRONG = re.compile(r"PPS-WRONG ([!-~]{1,401}) ([ -~]{1,400})")
#: Where probes have something to say that is not on record yet.
_UNTESTED = (SiteState.INSTALLED, SiteState.FAILED, SiteState.NOT_ANNOUNCED, SiteState.LOST)


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probes of one statement's preview have said."""

    production_before: str
    results: tuple[ProbeResult, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One report, as it was read; nothing in it is trusted."""

    state: KitState
    probed: Mapping[tuple[str, int], Probed] = field(default_factory=dict)
    """(product@platform, sequence) -> what they said"""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """product@platform -> why it could not be followed"""


def read_report(site: str, text: str) -> Report:
    """Read a report; `RefusedError` if it is none, or not whole."""
    lines = text.removesuffix("\n").split("\n")
    if not re.fullmatch(r"[\n -~]*", text) or lines[0] != "PPS-REPORT 1" or lines[-1] != "PPS-REPORT-END":
        why = "This is no whole report of a kit: printable lines from `PPS-REPORT 1` to `PPS-REPORT-END`."
        raise RefusedError(f"report of {site}", (why,), "Have it sent by pps-fetch.")
    end = next((n for n, line in enumerate(lines) if line.startswith("PPS-STATE-END ")), 0)
    try:
        state = read_state(site, lines[1 : end + 1])
    except SiteError as error:
        raise RefusedError(f"report of {site}", (f"Its part of the state is none: {error.why}",)) from error
    probed, wrong = dict[tuple[str, int], Probed](), dict[str, str]()
    parts = list[tuple[re.Match[str], list[str]]]()
    for line in lines[end + 1 : -1]:
        if match := _PROBED.fullmatch(line):
            parts.append((match, []))
        elif match := _WRONG.fullmatch(line):
            wrong[match[1]] = cleaned(match[2], 400)
        elif parts and line.startswith("PPS-PROBE"):
            parts[-1][1].append(line)
    for match, said in parts:
        probed[match[1], int(match[2])] = Probed(match[3], read_results(ScriptOutput(tuple(said), 0)))
    return Report(state, probed, wrong)


def take_report(office: Office, site: Site, report: Report) -> tuple[Fact, ...]:
    """Put on record what a report says and the record does not have yet; returns those facts.

    None of a site that still lets us in: what we find there ourselves is on record, and of two who look at one moment
    and write at another each could contradict what the other has just done.

    Rollouts are looked at whose preview may still be at sites, or that the report is about; no others are read.
    """
    if not site.fetches:
        return ()
    offered = _offered(office, report.state, site)
    open_ones = [row.name for row in office.facts.rollouts(paths=PREVIEWS, not_cleared=True)]
    names = dict.fromkeys((*open_ones, *(it.rollout for it in offered)))
    new = list[Fact]()
    for record in office.facts.about(list(names), site.name).values():
        # of products that the kit has no policy for it says nothing, so nothing follows
        wanted = _product(record, site) in report.state.followed
        if wanted and (built := record.the(FactKind.TARBALL_BUILT)) is not None:
            at = _AtSite(office.desk(record), site, report, offered, str(built.payload["name"]))
            for fact in at.news():
                new += at.desk.record(fact)
    return tuple(new)


def _product(record: Rollout, site: Site) -> str:
    return f"{record.opened.get('metapackage', '')}@{site.platform}"


@dataclass(frozen=True, slots=True)
class _Offer:
    """A statement on record, and the rollout that it was offered for."""

    rollout: str
    statement: Statement


def _offered(office: Office, state: KitState, site: Site) -> tuple[_Offer, ...]:
    """The statements, for its platform, of those previews that the site has, or was told of last, in their order."""
    previews = {*state.holds, *(it.preview for it in state.followed.values() if it)}
    facts = office.facts.with_payload(FactKind.STATEMENT_OFFERED, "preview", sorted(previews)) if previews else ()
    found = (_Offer(str(f.payload["rollout"]), Statement.parse(f.payload["document"])) for f in facts)
    mine = (it for it in found if it.statement.platform == str(site.platform))
    return tuple(sorted(mine, key=lambda it: it.statement.sequence))


@dataclass(frozen=True)
class _AtSite:
    """One rollout at the site that reports."""

    desk: Desk
    site: Site
    report: Report
    offered: tuple[_Offer, ...]
    preview: str

    def news(self) -> Iterator[Fact]:
        """One fact after the other: each is on the desk before the next is asked for."""
        tag, tagged = str(self.desk.rollout.tag), str(self.desk.rollout.tag) in self.report.state.tags
        if self._is_there and not self._on_record:
            yield self._fact(FactKind.PREVIEW_INSTALLED, self._installation())
        if self.desk.rollout.announces(self.site.name) and not tagged:
            why = self._why_withdrawn() or "The tag was taken away at the site: by its kit, or by its people."
            yield self._fact(FactKind.TAG_REMOVED, {"tag": tag, "reason": why, "changed": True})
        if self._on_record and self.preview not in self.report.state.holds:
            yield self._gone()
        if self._on_record and self._is_there:
            yield from self._probed()
            if tagged and not self.desk.rollout.announces(self.site.name):
                yield self._fact(FactKind.TAG_ADDED, {"tag": tag, "changed": True})
        if not self._on_record:
            yield from self._not_followed()

    @property
    def _mine(self) -> Statement | None:
        """The newest statement for this preview, if it was offered for this rollout.

        A patch that was stopped and started again has the very same preview: it is the newer rollout's from then on.
        """
        about = [it for it in self.offered if it.statement.preview == self.preview]
        return about[-1].statement if about and about[-1].rollout == self.desk.name else None

    @property
    def _is_there(self) -> bool:
        """Does the site have what was signed, for this rollout?"""
        held = self.report.state.holds.get(self.preview)
        return self._mine is not None and held is not None and held == self._mine.manifest

    @property
    def _on_record(self) -> bool:
        return self.desk.rollout.holds_preview(self.site.name)

    @property
    def _said_by_probes(self) -> Probed | None:
        return self.report.probed.get((self._mine.what, self._mine.sequence)) if self._mine else None

    def _fact(self, kind: FactKind, payload: dict[str, Any]) -> Fact:
        which = self.desk.rollout.occasion(kind, self.site.name, OCCASION)
        return self.desk.fact(kind, self.site.name, which, payload)

    def _installation(self) -> dict[str, Any]:
        probed = self._said_by_probes
        before = probed.production_before if probed else "-"
        return {"tarball": self.preview, "production_before": before, "how": "fetched"}

    def _why_withdrawn(self) -> str:
        asked = self.desk.rollout.the(FactKind.WITHDRAWAL_ASKED)
        return str(asked.payload["reason"]) if asked else ""

    def _gone(self) -> Fact:
        mine = self._mine
        if mine is not None and mine.action is Action.INSTALL and not self.desk.rollout.is_over:
            return self._fact(FactKind.PREVIEW_LOST, {"reason": "The site reports that it is no longer there."})
        why = self._why_withdrawn() or "The site has removed it: another one has long replaced it."
        return self._fact(FactKind.PREVIEW_REMOVED, {"reason": why, "tarball": self.preview, "changed": True})

    def _probed(self) -> Iterator[Fact]:
        """What the probes said, if that is not known yet."""
        said, state = self._said_by_probes, self.desk.rollout.progress(self.site.name).state
        if said is None or state not in _UNTESTED:
            return
        results = [{**asdict(r), "state": r.state.name} for r in said.results]
        payload: dict[str, Any] = {"tarball": self.preview, "results": results}
        if not (reasons := reasons_against_tag(said.results)):
            yield self._fact(FactKind.PROBES_PASSED, payload)
        elif state is not SiteState.NOT_ANNOUNCED:
            announced = self.desk.rollout.announces(self.site.name)
            yield self._fact(FactKind.PROBES_FAILED, payload | {"reason": " ".join(reasons), "announced": announced})

    def _not_followed(self) -> Iterator[Fact]:
        """What keeps the site from it, as its kit says; of what is not offered to it nothing is missed."""
        record = self.desk.rollout
        why = self.report.wrong.get(_product(record, self.site), "")
        if not why or not may_be_fetched(record) or not statements.offered_for(self.desk.facts, record.name):
            return
        reason = f"Its kit says: {why}"
        if record.progress(self.site.name).reason != reason:
            yield self._fact(FactKind.SITE_FAILED, {"reason": reason, "step": STEP, "error": SiteRefusedError.__name__})
