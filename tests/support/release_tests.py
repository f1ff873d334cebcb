"""Release tests that have come a given way: pools, sites of three regions, answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, PATCH, SITES, sqlite_store, templates
from tests.support.front import CONFIG

from pps.activities.people import asking
from pps.activities.people.asking import Asking
from pps.activities.quality import release_answers, release_testing
from pps.activities.release import decision as release_decision
from pps.adapters.record.store import FactStore
from pps.config.loader import Configuration
from pps.domain.packages.patch import PackageRef, Patch, PatchState
from pps.domain.people.questions import Given
from pps.domain.quality.pools import Pool
from pps.domain.quality.release_tests import ACCEPT, DECISION, MANAGER, REJECT, STEP
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

CERTIFIED = replace(
    PATCH, state=PatchState.CERTIFIED, packages=(PackageRef("voms-clients", "2.1.0-1", "amd64"),), externals=()
)
POOLS = (Pool("spain", "SouthWest", ("PIC", "IFIC-LCG2"), ("CREAM-CE",)), Pool("italy", "Italy", ("INFN-T1",)))
ACTIVITY = Configuration(CONFIG).activity(release_answers.ACTIVITY)
DUE = NOW + timedelta(days=1)
LATE = DUE + timedelta(hours=1)
DECISION_DUE = DUE + timedelta(days=14)
WELL = {"services": "CREAM-CE", "report": None}
BADLY = {"services": "CREAM-CE", "report": "Jobs are lost."}
#: what `local_package` of a test gives (tests.support.paper_packages)
PACKAGE_BYTES = b"voms-clients 2.1.0-1 amd64"
PACKAGE = hashlib.sha256(PACKAGE_BYTES).hexdigest()
PACKAGES = [[str(ref), PACKAGE] for ref in CERTIFIED.packages]
RUN = "release_testing/release-test-4711-1"


class AReleaseTest:
    """One test on a store of its own; `record` is always the newest."""

    def __init__(self, patch: Patch = CERTIFIED, store: FactStore | None = None) -> None:
        self.store, self.patch = store or sqlite_store(), patch
        self.name = release_testing.open_release_test(
            at_office(self.store, now=NOW, actor="release-manager"), patch, POOLS, SITES, None, run=RUN
        )

    @property
    def record(self) -> Rollout:
        return self.store.rollout(self.name)

    def planned(self) -> AReleaseTest:
        release_testing.plan(at_desk(self.record, self.store, patch=self.patch, now=NOW, actor="pps"), POOLS, SITES)
        return self

    def delivered(self) -> AReleaseTest:
        self.planned()
        self.then(FactKind.PACKAGES_KEPT, packages=PACKAGES)
        for site in self.record.planned_sites:
            address = f"https://packages.example.org/{self.name}/apt"
            self.then(FactKind.PATCH_DELIVERED, site, pool="-", roc=SITES[site].roc, repository=address)
        return self

    def asked(self) -> AReleaseTest:
        self.delivered()
        for site in self.record.planned_sites:
            self.ask(STEP, site, DUE, f"user:admin-{site.lower()}")
        return self

    def ask(self, step: str, subject: str, due: datetime, *people: str) -> None:
        asking.ask(
            at_desk(self.record, self.store, templates=templates(), now=NOW, actor="pps"),
            Asking(f"{subject}: please answer", "What it is about.", due, people, "somebody@example.org"),
            step=step,
            subject=subject,
            link=f"https://pps.example.org/answer/{subject}",
        )

    def answers(
        self, site: str, choice: str, form: Mapping[str, Any] | None = None, *, user: str = "", at: datetime = NOW
    ) -> AReleaseTest:
        """As the human step takes an answer that Airflow hands over."""
        user = user or f"admin-{site.lower()}"
        form = (WELL if choice == ACCEPT else BADLY) if form is None else form
        more = release_answers.facts_of_answer(self.record, site, Given(choice, form, user, at), ACTIVITY)
        asking.keep_answer(
            at_desk(self.record, self.store, now=at), Given(choice, form, user, at), step=STEP, subject=site, more=more
        )
        return self

    def late(self, site: str, choice: str = REJECT, *, user: str = "", at: datetime = LATE) -> AReleaseTest:
        form = WELL if choice == ACCEPT else BADLY
        user = user or f"admin-{site.lower()}"
        release_answers.keep_late_answer(
            at_desk(self.record, self.store, now=at), site, Given(choice, form, user, at), ACTIVITY
        )
        return self

    def time_is_up(self) -> AReleaseTest:
        for site in self.record.planned_sites:
            asking.note_silence(at_desk(self.record, self.store, now=LATE, actor="pps"), step=STEP, subject=site)
        return self

    def decided(self, choice: str, reason: str | None = None, *, user: str = "grace") -> AReleaseTest:
        if not any(f.kind is FactKind.QUESTION_ASKED and f.occasion == DECISION for f in self.record.facts):
            self.ask(DECISION, MANAGER, DECISION_DUE, f"role:{MANAGER}")
        form, at = {"reason": reason}, LATE
        more = release_decision.facts_of_decision(at_desk(self.record, self.store), Given(choice, form, user, at))
        asking.keep_answer(
            at_desk(self.record, self.store, now=at),
            Given(choice, form, user, at),
            step=DECISION,
            subject=MANAGER,
            more=more,
        )
        return self

    def then(self, kind: FactKind, subject: str = "", occasion: str = "", **payload: Any) -> None:
        self.store.record(Fact(self.name, kind, subject, occasion, NOW, "pps", payload))

    def kinds(self, kind: FactKind) -> list[Fact]:
        return [f for f in self.record.facts if f.kind is kind]
