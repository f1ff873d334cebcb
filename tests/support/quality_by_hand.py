"""The quality of releases, reckoned a second time from the bare rows of the table of facts.

It imports nothing of the product, so what the two agree on is no fault of one of them: docs/quality.md alone says
what is counted. `python tests/support/quality_by_hand.py facts.db` prints the numbers of a database.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

Row = dict[str, Any]
#: (state, number, part, whole)
Number = tuple[str, float | None, int | None, int | None]

PREVIEW, PILOT = {"bc-client", "non-bc-client"}, {"minor-pilot", "major-pilot"}
TESTS = {"pre-deployment", "release-test"}
OTHERS = {"overrule"}
OVER = {"rollout-closed", "rollout-stopped", "withdrawal-asked"}
NOT_MEASURED: Number = ("not measured", None, None, None)
WAITING: Number = ("waiting", None, None, None)


def rows_of(database: str) -> list[Row]:
    """Of a SQLite file, in the order of recording."""
    found = sqlite3.connect(database).execute(
        "SELECT rollout, kind, subject, occasion, at, payload FROM facts ORDER BY id"
    )
    keys = ("rollout", "kind", "subject", "occasion", "at", "payload")
    return [row(dict(zip(keys, values, strict=True))) for values in found]


def row(values: Row) -> Row:
    """With moment and payload as Python has them."""
    at, payload = values["at"], values["payload"]
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return {**values, "at": at, "payload": json.loads(payload) if isinstance(payload, str) else payload}


def reckoned(rows: list[Row]) -> dict[int, dict[str, Number]]:
    """Patch -> measure -> its number."""
    records: dict[str, list[Row]] = defaultdict(list)
    for one in rows:
        records[one["rollout"]].append(one)
    about: dict[int, dict[str, list[Row]]] = defaultdict(dict)
    for name, mine in records.items():
        opening = next((r for r in mine if r["kind"] == "rollout-opened"), None)
        if opening and opening["payload"]["path"] in PREVIEW | PILOT | TESTS | OTHERS | {"patch"}:
            about[opening["payload"]["patch"]][name] = mine
    submitted: dict[int, list[datetime]] = {}
    for one in [r for r in rows if r["kind"] == "release-entered"]:
        sent = [r for r in rows if r["kind"] == "release-offered" and r["subject"] == one["subject"]]
        submitted[one["payload"]["patch"]] = [r["at"] for r in sent if r["payload"].get("submit")]
    releases = {patch: Release(found, submitted) for patch, found in about.items()}
    releases = {patch: release for patch, release in releases.items() if release.rollouts}
    return {patch: release.numbers(releases) for patch, release in releases.items()}


class Release:
    """All rows about one patch."""

    def __init__(self, found: dict[str, list[Row]], submitted: dict[int, list[datetime]]) -> None:
        self.submitted = submitted
        self.waived = [r for mine in found.values() for r in mine if r["kind"] == "finding-waived"]
        self.bugs = [r for mine in found.values() for r in mine if r["kind"] == "bug-seen"]
        self.path = {name: opened(mine)["payload"]["path"] for name, mine in found.items()}
        self.rollouts = {name: mine for name, mine in found.items() if self.path[name] != "patch"}
        self.begun = min(r["at"] for mine in found.values() for r in mine if r["kind"] == "rollout-opened")
        first = sorted(self.rollouts.values(), key=lambda mine: opened(mine)["at"])
        self.metapackage = self.version = ""
        for mine in first:
            self.metapackage = opened(mine)["payload"].get("metapackage") or self.metapackage
            self.version = opened(mine)["payload"].get("version") or self.version
        self.patch = opened(first[0])["payload"]["patch"] if first else 0
        self.begun = min([self.begun, *submitted.get(self.patch, [])])

    def all(self, kind: str, paths: set[str]) -> list[Row]:
        """Rows of a kind in the rollouts of these paths."""
        names = [n for n in self.rollouts if self.path[n] in paths]
        names.sort(key=lambda n: opened(self.rollouts[n])["at"])
        return [r for n in names for r in self.rollouts[n] if r["kind"] == kind]

    def any(self, paths: set[str]) -> bool:
        return any(self.path[n] in paths for n in self.rollouts)

    def goes_on(self, paths: set[str]) -> bool:
        return any(
            not any(r["kind"] in OVER for r in mine) for n, mine in self.rollouts.items() if self.path[n] in paths
        )

    def numbers(self, everybody: dict[int, Release]) -> dict[str, Number]:
        everything = PREVIEW | PILOT | TESTS | OTHERS
        seen = self.all("tag-seen", PREVIEW) + self.all("service-set-up", PILOT)
        return {
            "time-to-preview": self.days(seen, PREVIEW | PILOT),
            "time-to-production": self.days(self.all("released-to-production", everything), everything),
            "sites-reached": self.sites_reached(),
            "probe-failures": self.probe_failures(),
            "regressions": self.regressions(everybody),
            "service-failures": self.service_failures(),
            "scenarios-passed": self.scenarios_passed(),
            "feedback-rate": self.feedback_rate(),
            "bugs-not-fixed": self.bugs_not_fixed(),
            "roll-backs": self.roll_backs(),
            "withdrawn-previews": self.withdrawn_previews(),
            "bugs-reopened": self.bugs_reopened(),
            "waived-findings": self.waived_findings(),
        }

    def days(self, ends: list[Row], paths: set[str]) -> Number:
        if ends:
            seconds = (min(r["at"] for r in ends) - self.begun).total_seconds()
            return ("measured", seconds / 86400, None, None)
        return WAITING if self.goes_on(paths) else NOT_MEASURED

    def share(self, part: int, whole: int, paths: set[str]) -> Number:
        return self.of(part, whole, self.goes_on(paths), per_cent=True)

    def count(self, part: int, whole: int, paths: set[str]) -> Number:
        return self.of(part, whole, self.goes_on(paths), per_cent=False)

    @staticmethod
    def of(part: int, whole: int, waits: bool, *, per_cent: bool) -> Number:
        if waits:
            return ("waiting", None, part, whole)
        if whole == 0:
            return NOT_MEASURED
        return ("measured", part * 100 / whole if per_cent else part, part, whole)

    def sites_reached(self) -> Number:
        paths = PREVIEW | PILOT | {"release-test"}
        if not self.any(paths):
            return NOT_MEASURED
        wanted, got = set(), set()
        for name, mine in self.rollouts.items():
            path = self.path[name]
            if path not in paths:
                continue
            planned, out, here = set(), set(), set()
            for r in mine:
                if r["kind"] == "site-left-out":
                    out.add(r["subject"])
                if r["kind"] in ("night-planned", "retry-planned") and path not in PILOT:
                    planned |= set(r["payload"]["sites"])
                if r["kind"] == ("service-set-up" if path in PILOT else "tag-seen") and path != "release-test":
                    here.add(r["subject"])
            plans = [r for r in mine if r["kind"] == ("sites-selected" if path in PILOT else "plan-agreed")]
            if plans:
                newest = plans[-1]["payload"]
                batches = [newest["sites"]] if path in PILOT else newest["batches"].values()
                planned |= {site for batch in batches for site in batch}
            if path == "release-test":
                here = applied(mine) & planned
            wanted |= {s for s in planned if s in here or s not in out} | here
            got |= here
        return self.share(len(got), len(wanted), paths)

    def newest_probes(self) -> dict[str, Row]:
        found = {}
        names = [n for n in self.rollouts if self.path[n] in PREVIEW]
        for n in sorted(names, key=lambda n: opened(self.rollouts[n])["at"]):
            for r in self.rollouts[n]:
                if r["kind"] in ("probes-passed", "probes-failed"):
                    found[r["subject"]] = r
        return found

    def probe_failures(self) -> Number:
        if not self.any(PREVIEW):
            return NOT_MEASURED
        probes = self.newest_probes()
        return self.share(sum(r["kind"] == "probes-failed" for r in probes.values()), len(probes), PREVIEW)

    def regressions(self, everybody: dict[int, Release]) -> Number:
        if not self.any(PREVIEW):
            return NOT_MEASURED
        mine = min(r["at"] for r in self.all("rollout-opened", PREVIEW))
        earlier = []
        for other in everybody.values():
            if other is self:
                continue
            for r in other.all("rollout-opened", PREVIEW):
                says = r["payload"]
                same = says.get("metapackage") == self.metapackage
                if same and says.get("version") != self.version and r["at"] < mine:
                    earlier.append((r["at"], says["patch"]))
        then = everybody[max(earlier)[1]].newest_probes() if earlier else {}
        if not then:
            return NOT_MEASURED
        now = self.newest_probes()
        both = [site for site in now if site in then]
        worse = [s for s in both if now[s]["kind"] == "probes-failed" and bad(now[s]) - bad(then[s])]
        return self.count(len(worse), len(both), PREVIEW)

    def service_failures(self) -> Number:
        if not self.any(PILOT):
            return NOT_MEASURED
        looks = self.all("service-probed", PILOT)
        down = {r["subject"] for r in looks if r["payload"].get("state") == "CRITICAL"}
        return self.share(len(down), len({r["subject"] for r in looks}), PILOT)

    def scenarios_passed(self) -> Number:
        if not self.any({"pre-deployment"}):
            return NOT_MEASURED
        newest = {(r["rollout"], r["subject"]): r for r in self.all("scenario-ended", {"pre-deployment"})}
        results = [r["payload"]["result"] for r in newest.values()]
        passed, failed = results.count("pass"), results.count("fail")
        return self.share(passed, passed + failed, {"pre-deployment"})

    def vos_may_still_answer(self) -> bool:
        return any(
            self.path[n] in PREVIEW | {"major-pilot"} and not any(r["kind"] in OVER | {"feedback-ended"} for r in mine)
            for n, mine in self.rollouts.items()
        )

    def feedback_rate(self) -> Number:
        part = whole = 0
        for mine in self.rollouts.values():
            invited = {r["subject"] for r in mine if r["kind"] == "vo-invited"}
            whole += len(invited)
            part += len(invited & {r["subject"] for r in answers_that_count(mine)})
        return self.of(part, whole, self.vos_may_still_answer(), per_cent=True)

    def bugs_not_fixed(self) -> Number:
        said = defaultdict(set)
        for mine in self.rollouts.values():
            for r in answers_that_count(mine):
                for bug, verdict in r["payload"].get("bugs", {}).items():
                    said[bug].add(verdict)
        part = sum("not fixed" in verdicts for verdicts in said.values())
        return self.of(part, len(said), self.vos_may_still_answer(), per_cent=False)

    def roll_backs(self) -> Number:
        if not self.any(PILOT):
            return NOT_MEASURED
        ran = {r["subject"] for r in self.all("service-set-up", PILOT)}
        back = {r["subject"] for r in self.all("service-rolled-back", PILOT)}
        return self.count(len(ran & back), len(ran), PILOT)

    def withdrawn_previews(self) -> Number:
        if not self.any(PREVIEW):
            return NOT_MEASURED
        previews = [mine for n, mine in self.rollouts.items() if self.path[n] in PREVIEW]
        gone = sum(any(r["kind"] == "withdrawal-asked" for r in mine) for mine in previews)
        return self.count(gone, len(previews), PREVIEW)

    def bugs_reopened(self) -> Number:
        told: dict[str, list[str]] = {}
        for row in self.bugs:
            told.setdefault(row["subject"], []).append(row["payload"]["state"])
        again = [
            bug
            for bug, states in told.items()
            if "reopened" in states or any(a in ("fixed", "closed") and b == "open" for a, b in pairwise(states))
        ]
        return ("measured", len(again), len(again), len(told)) if told else NOT_MEASURED

    def waived_findings(self) -> Number:
        if self.waived:
            return ("measured", len({r["occasion"] for r in self.waived}), None, None)
        return ("measured", 0, None, None) if self.patch in self.submitted else NOT_MEASURED


def opened(mine: list[Row]) -> Row:
    return next(r for r in mine if r["kind"] == "rollout-opened")


def bad(probes: Row) -> set[str]:
    return {r["probe"] for r in probes["payload"].get("results", ()) if r["state"] not in ("OK", "WARNING")}


def answers_that_count(mine: list[Row]) -> list[Row]:
    agreed = [r for r in mine if r["kind"] == "feedback-date-agreed"]
    due = datetime.fromisoformat(agreed[-1]["payload"]["due"]) if agreed else None
    newest = {}
    for r in mine:
        if r["kind"] == "feedback-given" and r["payload"].get("invited") and not (due and r["at"] > due):
            newest[r["subject"]] = r
    taken_back = {(r["subject"], r["occasion"]) for r in mine if r["kind"] == "feedback-withdrawn"}
    return [r for r in newest.values() if (r["subject"], r["occasion"]) not in taken_back]


def applied(mine: list[Row]) -> set[str]:
    """Sites of a release test whose first answer in time says that they have applied the update."""
    step = "release-test"
    due = {
        r["subject"]: datetime.fromisoformat(r["payload"]["due"])
        for r in mine
        if r["kind"] == "question-asked" and r["occasion"] == step
    }
    first, ended = {}, set()
    for r in mine:
        if r["kind"] == "question-expired" and r["occasion"] == step:
            ended.add(r["subject"])
        answers = r["kind"] == "answer-given" and r["payload"]["step"] == step and r["subject"] in due
        if answers and r["at"] <= due[r["subject"]] and r["subject"] not in ended:
            first.setdefault(r["subject"], r["payload"]["choice"])
    return {site for site, choice in first.items() if choice in ("Accept", "Reject")}


if __name__ == "__main__":
    for number, found in sorted(reckoned(rows_of(sys.argv[1])).items()):
        for measure, value in found.items():
            print(number, measure, *value)
