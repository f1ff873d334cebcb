"""The whole product on one grid, for the scenarios of the end-to-end tests: 12 sites of which three fail on purpose.

```python
from tests.support.whole import Grid, far, grid  # noqa: F401
```

One installation serves all modules of a worker (tests/support/side_by_side.py); each scenario has a patch of its own.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.support.airflow import end_airflow
from tests.support.airflow_waits import wait_for_run

from pps.adapters.services.airflow_rest import AirflowClient, AirflowQuestion
from pps.domain.base.errors import RolloutError
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import Platform
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.grid.control import GridControl
from pps.sandbox.grid.smtp import kept_mails
from pps.sandbox.provider.packages import make_sample_packages
from pps.sandbox.provider.provider import offer_patch

T = TypeVar("T")
BC = "bc_client_update"
#: Opens /pps/metrics; the other secrets are the sandbox's own.
_COLLECTORS_TOKEN = "canary-of-the-collectors-0123456789"
VOS = ("atlas", "cms", "lhcb", "biomed")


class Grid:
    """What the scenarios say, on a real installation."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.installation = installation
        self.folder = folder
        self.services = installation.services()
        self.control = GridControl(installation.grid_folder)
        self.mails = Path(installation.grid["mails"])
        self.client: AirflowClient = installation.client("release-manager")
        self.faulty = {s["name"]: s["faults"][0] for s in self.control.status()["sites"] if s["faults"]}

    collectors_token = _COLLECTORS_TOKEN

    def offers(self, number: int, version: str, **different: Any) -> Patch:
        provided = make_sample_packages(self.folder / version, version)
        return offer_patch(
            Path(self.installation.grid["repository_folder"]),
            self.installation.grid["services"]["repository"],
            self.services.tracker,
            provided,
            Platform.parse(self.installation.grid["made_with"]["platform"]),
            number=number,
            version=version,
            **different,
        )

    def start(self, patch: int, dag: str = BC, **conf: Any) -> str:
        return self.client.trigger(dag, {"patch": patch, **conf})

    def rollout(self, name: str) -> Rollout:
        return self.services.facts.rollout(name)

    def waits_for(self, what: str, look: Callable[[], T], within_s: float = 300) -> T:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                if found := look():
                    return found
            except RolloutError:
                pass
            time.sleep(0.4)  # each look costs Airflow some time of the processor
        raise AssertionError(f"{what}: not within {within_s} s")

    def waits_for_fact(self, name: str, kind: FactKind, within_s: float = 300) -> None:
        self.waits_for(f"fact {kind}", lambda: self.rollout(name).has(kind), within_s)

    def ends(self, run: str, within_s: float = 300, dag: str = BC) -> str:
        return wait_for_run(self.client, dag, run, within_s)

    def member_site(self) -> str:
        """The PPS member site, whose people try deployment scenarios by hand."""
        return next(s.name for s in self.services.config.sites.values() if s.infrastructure == "PPS")

    def as_user(self, user: str) -> AirflowClient:
        return self.installation.client(user)

    def question(self, dag: str, run: str, subject: str, within_s: float = 180) -> AirflowQuestion:
        """The question whose headline begins with this site or role, as soon as it can be answered."""

        def look() -> AirflowQuestion | None:
            return next((q for q in self.client.questions(dag, run) if q.subject.startswith(f"{subject}:")), None)

        found = self.waits_for(f"question to {subject}", look, within_s)
        assert found is not None
        return found

    def states(self, name: str) -> dict[str, SiteState]:
        return {p.site: p.state for p in self.rollout(name).all_progress()}

    def seen_tags(self, name: str) -> set[str]:
        record, sites = self.rollout(name), self.services.config.sites
        shown = self.services.information_system.tags_of([s.subcluster for s in sites.values()])
        return {s.name for s in sites.values() if str(record.tag) in shown.get(s.subcluster, frozenset())}

    def night(self) -> None:
        run = self.installation.client("admin").trigger("nightly_distribution", {})
        state = wait_for_run(self.installation.client("admin"), "nightly_distribution", run, 150)
        assert state == "success"

    def certify(self, patch: int, state: PatchState = PatchState.CERTIFIED) -> None:
        self.services.tracker.set_state(patch, state, "The certification has ended.")

    def notes(self, name: str) -> str:
        text = (Path(self.services.publication_folder.root) / "release-notes" / f"{name}.txt").read_text()
        return " ".join(text.split())

    def mails_of(self, name: str) -> Counter[tuple[str, str]]:
        number = self.rollout(name).need(FactKind.ROLLOUT_OPENED, "").payload["version"]
        return Counter((", ".join(m.recipients), m.subject) for m in kept_mails(self.mails) if number in m.subject)


#: On a busy machine answers come late. Nobody is silent in a pilot, so there patience costs no time; in the other
#: paths somebody is, and two minutes are what the people beside that one need.
PATIENT: dict[str, dict[str, object]] = {
    "pilots": dict.fromkeys(
        ("answer_within", "set_up_within", "roll_back_within", "report_within", "wrap_up_within"), "20m"
    ),
    **{path: {"answer_within": "2m"} for path in ("local_configuration", "deployment_test", "overrule")},
    "release_test": {"answer_working_days": 0.0014},
}
#: Three Airflows share two cores in `make test`; an idle scheduler that looks ten times a second takes a tenth of one.
_QUIET = {"AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3"}
#: Not at the root of its host, as at a site with one proxy for several services: every link of ours must stand that.
_BELOW = "/grid/airflow"
_KEY = pytest.StashKey[Grid]()
_END = pytest.StashKey[ExitStack]()


@pytest.fixture(scope="session")
def grid(request: pytest.FixtureRequest) -> Grid:
    # as in support/airflow.py: a fixture that several modules import is several fixtures; the stash makes them one
    stash = request.config.stash
    if _KEY not in stash:
        end_airflow(request.config)
        stack = ExitStack()
        stash[_KEY] = stack.enter_context(_running())
        stash[_END] = stack
        request.config.add_cleanup(stack.close)
    return stash[_KEY]


def end_grid(config: pytest.Config) -> None:
    """End it now, if it runs."""
    if _END in config.stash:
        config.stash[_END].close()
        del config.stash[_KEY], config.stash[_END]


@contextmanager
def _running() -> Iterator[Grid]:
    with tempfile.TemporaryDirectory(prefix="pps-whole-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with Installation(
            folder / "installation",
            environment={**_QUIET, "PPS_METRICS_TOKEN": _COLLECTORS_TOKEN},
            policies=PATIENT,
            below="/grid/airflow",
        ) as installation:
            yield Grid(installation, folder)


def far(days: int = 1) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()
