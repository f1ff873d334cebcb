"""What it costs that pilots wait: worker slots, CPU and memory of a whole installation. See README.md here.

`python -m benchmarks.waiting` starts PostgreSQL, Airflow and a sandbox grid in a folder of its own, and measures them
while no pilot is open. Then it brings 100 minor server pilots to where they wait for days, with the dates and probe
intervals of config/policies.yaml: every second at its first question (`accept_request`), the others in the run at a
site (`wait_for_end_of_run` and `wait_for_end_or_roll_back`). It measures the same again, and how long an answer takes
to be followed. The exit code is 1 if a pilot that waits holds a worker slot.

The settings of Airflow are those of docs/production.md. `--set scheduler.scheduler_idle_sleep_time=0.1` tries another.
Getting there takes some ten minutes with 100 pilots on two cores, and everything about 20.
"""

from __future__ import annotations

import argparse
import copy
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg
import yaml
from benchmarks.process_trees import Usage, measured
from tests.support.desks import at_office
from tests.support.whole import Grid
from tests.support.whole_pilots import MINOR, form, partner, server

from pps.activities.quality.deployment_tests import open_deployment_test
from pps.adapters.services.airflow_rest import AirflowClient, AirflowQuestion
from pps.config.loader import read_yaml
from pps.domain.packages.patch import Patch
from pps.domain.sites.site import PartnerLevel
from pps.sandbox.airflow.configuration import DEFAULT_CONFIG, administrator_of
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.grid.pilot_service import ServiceAction
from pps.sandbox.provider.scenario import submit

VERSION = "3.2.0"
FIRST_PATCH = 5001
COMPONENTS = ("scheduler", "triggerer", "api-server", "dag-processor")
DATABASE = "PostgreSQL"
#: Of a task instance that has a worker, or is about to have one.
HOLDS_A_SLOT = ("running", "queued", "restarting")
WAITS_IN_THE_RUN = ("wait_for_end_of_run", "site.wait_for_end_or_roll_back")
#: Each question on the way to the run, what is answered, and the task that is next.
QUESTIONS = {
    "accept_request": ("Accept", "request_is_accepted"),
    "select_sites": ("Select", "sites_are_selected"),
    "agree_at_kick_off": ("Agreed", "dates_are_agreed"),
}


@dataclass(frozen=True)
class Window:
    """One stretch of time in which nobody did anything."""

    usage: Usage
    states: Counter[str]
    """task instances of pilots, by state"""
    held: int
    """the most worker slots that pilots held at any look"""
    sessions_per_min: float
    """connections to the database of facts that were opened"""
    facts: int
    """that were written"""
    cycle_s: float
    """how long it takes the scheduler to look at every run once"""


@dataclass(frozen=True)
class Reaction:
    """Seconds that an answer takes to be followed."""

    whole: float
    """from the answer until the next task runs"""
    scheduler: float
    """of these, from the end of the task that took the answer until the scheduler has found what is next"""


class Course:
    """A running installation, and the pilots on it."""

    def __init__(self, grid: Grid, pilots: int) -> None:
        self.grid = grid
        self.pilots = pilots
        self.site = partner(grid, PartnerLevel.GOLD)
        self.coordinator = grid.as_user("pps-coordinator")
        self.emt = grid.as_user("emt")
        self.people = grid.as_user(administrator_of(self.site))
        self.runs: list[str] = []
        self._patch: Patch | None = None
        self._service: Mapping[str, Any] = {}

    # --- the databases ---

    def ask(self, database: str, query: str, *values: Any) -> list[Any]:
        url = self.grid.installation.postgres.url(database).replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(url, autocommit=True, application_name="benchmark") as connection:
            return connection.execute(query, values).fetchall()

    def states(self) -> Counter[str]:
        """Task instances of pilots that have not ended, by state."""
        query = "SELECT state, count(*) FROM task_instance WHERE dag_id = %s AND state IS NOT NULL GROUP BY state"
        return Counter({state: count for state, count in self.ask("airflow", query, MINOR) if state != "success"})

    def parked(self, tasks: Collection[str], states: Collection[str]) -> Counter[str]:
        """Runs, and how many of these tasks wait in each."""
        query = "SELECT run_id FROM task_instance WHERE dag_id = %s AND task_id = ANY(%s) AND state = ANY(%s)"
        return Counter(run for (run,) in self.ask("airflow", query, MINOR, list(tasks), list(states)))

    def is_quiet(self) -> bool:
        """Whether nothing is at work in Airflow, or about to be."""
        busy = [*HOLDS_A_SLOT, "scheduled", "up_for_retry"]
        return not self.ask("airflow", "SELECT 1 FROM task_instance WHERE state = ANY(%s) LIMIT 1", busy)

    def moments(self, run: str, task: str, follows: str) -> tuple[float, float, float] | None:
        """When a task ended, and when the next was scheduled and began, by this machine's clock; None until it has."""
        query = (
            "SELECT a.end_date, b.scheduled_dttm, b.start_date FROM task_instance a JOIN task_instance b "
            "USING (dag_id, run_id) WHERE dag_id = %s AND run_id = %s AND a.task_id = %s AND b.task_id = %s"
        )
        rows = self.ask("airflow", query, MINOR, run, task, follows)
        if not rows or rows[0][2] is None:
            return None
        ended, scheduled, began = (moment.timestamp() for moment in rows[0])
        return ended, scheduled, began

    # --- pilots ---

    def ask_for_pilot(self) -> str:
        """Another certified patch, and a pilot of it; its deployment test is on record, so that none is started."""
        number = FIRST_PATCH + len(self.runs)
        if self._patch is None:
            patch = self._patch = server(self.grid, number, VERSION)
            self._service = self.grid.control.act_on_service(self.site, ServiceAction.UPGRADE, VERSION)["service"]
        else:
            patch = replace(self._patch, number=number)  # in the same repository
            submit(self.grid.services.tracker, patch)
            self.grid.certify(number)
        patch = self.grid.services.tracker.patch(number)
        scenarios = self.grid.services.config.scenarios
        now = datetime.now(UTC)
        open_deployment_test(
            at_office(self.grid.services.facts, now=now, actor="bench"), patch, scenarios, run=f"bench/{number}"
        )
        scope = "Run the service as production does, and watch its memory."
        self.runs.append(self.emt.trigger(MINOR, {"patch": number, "scope": scope}))
        return self.runs[-1]

    def answer(self, question: AirflowQuestion) -> None:
        """As the Coordinator and the site's people do when all goes well; a week's run, as the policy has it."""
        if question.task in QUESTIONS:
            given: dict[str, dict[str, Any]] = {
                "select_sites": {"sites": self.site},
                "agree_at_kick_off": {"run_for": "7d", "published": False},
            }
            filled = form(question, **given.get(question.task, {}))
            self.coordinator.answer(question, [QUESTIONS[question.task][0]], filled)
        else:
            service = {name: self._service[name] for name in ("endpoint", "previous")}
            self.people.answer(question, ["Set up"], form(question, version=VERSION, **service))

    def question(self, run: str, task: str) -> AirflowQuestion:
        def look() -> AirflowQuestion | None:
            return next((q for q in questions(self.coordinator, run) if q.task == task), None)

        return cast(AirflowQuestion, self.until(f"the question {task} of {run}", look))

    def reactions(self, run: str) -> list[Reaction]:
        """Answer the Coordinator's questions of one pilot."""
        took: list[Reaction] = []
        for task, (_, follows) in QUESTIONS.items():
            question = self.question(run, task)
            self.until("a quiet system", self.is_quiet)
            answered = time.time()
            self.answer(question)
            moments = self.until(f"{follows} of {run}", lambda run=run, pair=(task, follows): self.moments(run, *pair))  # type: ignore[misc]
            taken, scheduled, began = moments
            took.append(Reaction(began - answered, scheduled - taken))
        return took

    def bring_to_run(self, runs: Collection[str]) -> None:
        """Answer whatever is asked in these runs, until each waits in its pilot's run."""
        answered: set[tuple[str, str]] = set()

        def all_wait() -> bool:
            for question in questions(self.coordinator):
                if question.run in runs and (question.run, question.task) not in answered:
                    answered.add((question.run, question.task))
                    self.answer(question)
            parked = self.parked(WAITS_IN_THE_RUN, ["deferred"])
            return all(parked[run] == len(WAITS_IN_THE_RUN) for run in runs)

        self.until("the pilots in their run", all_wait, within_s=60 + 60 * len(runs), every_s=1.0)

    def until(self, what: str, look: Callable[[], Any], within_s: float = 180, every_s: float = 0.05) -> Any:
        deadline = time.monotonic() + within_s
        while not (found := look()):
            if time.monotonic() > deadline:
                raise SystemExit(f"{what}: not within {within_s:g} s. Tasks of pilots: {dict(self.states())}")
            time.sleep(every_s)
        return found

    # --- measuring ---

    def window(self, seconds: float) -> Window:
        """Look on for so long; the looks at the databases are few, and of us."""
        airflow = self.grid.installation.airflow
        assert airflow is not None
        roots = {name: airflow.pid(name) for name in COMPONENTS}
        postmaster = self.grid.installation.postgres.folder / "data" / "postmaster.pid"
        roots[DATABASE] = int(postmaster.read_text().split("\n", 1)[0])
        sessions, facts = self._sessions(), self._facts()
        held: list[int] = []
        ages: list[float] = []
        ends = time.monotonic() + seconds
        with measured(roots) as usage:
            while time.monotonic() < ends:
                states = self.states()
                held.append(sum(states[state] for state in HOLDS_A_SLOT))
                ages.append(self._longest_ago())
                time.sleep(max(0.0, min(seconds / 6, ends - time.monotonic())))
        # those who look are sessions, too, but of the other database
        opened = (self._sessions() - sessions - 2) * 60 / usage.seconds
        return Window(usage, states, max(held), max(opened, 0.0), self._facts() - facts, statistics.median(ages))

    def _longest_ago(self) -> float:
        """How long ago the scheduler has looked at the run that it has not looked at for longest."""
        query = (
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(last_scheduling_decision)), 0) "
            "FROM dag_run WHERE state = 'running'"
        )
        return float(self.ask("airflow", query)[0][0])

    def _sessions(self) -> int:
        return int(self.ask("pps", "SELECT sessions FROM pg_stat_database WHERE datname = 'pps'")[0][0])

    def _facts(self) -> int:
        return int(self.ask("pps", "SELECT count(*) FROM facts")[0][0])


def questions(client: AirflowClient, run: str = "~") -> list[AirflowQuestion]:
    return client.questions(MINOR, run)


#: Where the sandbox differs from docs/production.md, which leaves these to Airflow: a demo must not wait for them.
PRODUCTION = {
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
}


@contextmanager
def running(folder: Path, pilots: int, registry: int, settings: Sequence[str] = ()) -> Iterator[Course]:
    """An installation whose pilots have the dates of config/policies.yaml, not those of the demo."""
    policies = dict(read_yaml(DEFAULT_CONFIG / "policies.yaml")["pilots"])
    policies["open_pilots_at_most"] = pilots  # all at one site, whose service answers for them
    with Installation(
        folder / "installation", policies={"pilots": policies}, environment=PRODUCTION | set_by(settings)
    ) as installation:
        enlarge_registry(installation.grid_folder / "config" / "sites.yaml", registry)
        yield Course(Grid(installation, folder), pilots)


def set_by(settings: Sequence[str]) -> dict[str, str]:
    """Environment of Airflow from `scheduler.max_dagruns_per_loop_to_schedule=5` and the like."""
    pairs = (setting.partition("=") for setting in settings)
    return {f"AIRFLOW__{name.replace('.', '__', 1).upper()}": value for name, _, value in pairs}


def enlarge_registry(path: Path, sites: int) -> None:
    """As many sites as a grid has. Those that are added take no part, but whoever asks for one reads them all."""
    registry = read_yaml(path)
    like = registry["sites"][0]
    apart = {"accepts_previews": False, "canary": False, "partner_levels": [], "administrators": []}
    for number in range(len(registry["sites"]), sites):
        own = {"name": f"SITE-{number:03}", "subcluster": f"ce01.site-{number:03}.example.org"}
        registry["sites"].append(copy.deepcopy({**like, **apart, **own}))  # an alias is not allowed there
    aside = path.with_suffix(".new")
    aside.write_text(yaml.safe_dump(registry, sort_keys=False))
    aside.replace(path)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}  (load average {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)


def windows(course: Course, rounds: int, seconds: float) -> list[Window]:
    course.until("a quiet system", course.is_quiet)
    time.sleep(min(seconds, 20))  # what has just been done is over for PostgreSQL and the page cache, too
    return [course.window(seconds) for _ in range(rounds)]


def median(found: Sequence[Window], of: Callable[[Window], float]) -> float:
    return statistics.median(of(window) for window in found)


def show(idle: list[Window], waiting: list[Window], pilots: int) -> None:
    """The two tables: CPU and memory of each component, idle and waiting."""
    print(f"\n| component | CPU idle, % of a core | {pilots} wait | ratio | PSS idle, MiB | {pilots} wait | ratio |")
    print("|---|---|---|---|---|---|---|")
    rows: dict[str, tuple[str, ...]] = {name: (name,) for name in (*COMPONENTS, DATABASE)}
    for label, names in {**rows, "all": tuple(rows)}.items():
        cells = []
        for of in ("cpu_percent", "pss_mib"):
            before, after = (
                median(found, lambda w, of=of, names=names: sum(getattr(w.usage, of)[n] for n in names))  # type: ignore[misc]
                for found in (idle, waiting)
            )
            digits = 1 if of == "cpu_percent" else 0
            cells += [f"{before:.{digits}f}", f"{after:.{digits}f}", f"{after / before:.2f}"]
        print(f"| {label} | {' | '.join(cells)} |")


def run(options: argparse.Namespace, folder: Path) -> int:
    """Everything, in order; the exit code."""
    say("starting PostgreSQL, Airflow and the grid")
    with running(folder, options.pilots, options.registry, options.set) as course:
        say(f"measuring while no pilot is open: {options.rounds} x {options.seconds:g} s")
        idle = windows(course, options.rounds, options.seconds)
        say("how long an answer takes to be followed, with one pilot")
        alone = course.reactions(course.ask_for_pilot())
        say(f"asking for {options.pilots - 1} more, of which half are brought to their run")
        for _ in range(options.pilots - 1):
            course.ask_for_pilot()
        in_run = course.runs[::2]
        course.bring_to_run(in_run)
        asked = set(course.runs) - set(in_run)
        course.until(
            "the other pilots' question",
            lambda: set(course.parked(["accept_request"], ["awaiting_input"])) == asked,
            within_s=60 * options.pilots,
        )
        say(f"measuring while {options.pilots} pilots wait: {options.rounds} x {options.seconds:g} s")
        waiting = windows(course, options.rounds, options.seconds)
        say("how long an answer takes to be followed among them")
        among = [reaction for run in course.runs[1:6:2] for reaction in course.reactions(run)]
        say("done")
    show(idle, waiting, options.pilots)
    last, held = waiting[-1], max(window.held for window in waiting)
    print(
        f"\nworker slots held by pilots that wait: {held} (of {len(waiting) * 6} looks or so, the most)\n"
        f"tasks of pilots: {last.states['deferred']} deferred, {last.states['awaiting_input']} awaiting input, "
        f"{sum(last.states[s] for s in HOLDS_A_SLOT)} running or queued\n"
        f"connections opened to the facts: {median(idle, lambda w: w.sessions_per_min):.0f} a minute idle, "
        f"{median(waiting, lambda w: w.sessions_per_min):.0f} while they wait; "
        f"facts written while they wait: {sum(w.facts for w in waiting)}\n"
        f"the scheduler has looked at each of their runs within {median(waiting, lambda w: w.cycle_s):.2f} s\n"
        f"from an answer until its next task runs: {_said(alone, 'whole')} with one pilot, "
        f"{_said(among, 'whole')} with {options.pilots}\n"
        "of these, from the end of the task that took the answer until the next is scheduled: "
        f"{_said(alone, 'scheduler')}, {_said(among, 'scheduler')}"
    )
    expected = {"deferred": 2 * len(in_run), "awaiting_input": len(asked)}
    if held or any(last.states[state] != count for state, count in expected.items()):
        print(f"NOT AS IT SHOULD BE: no slot held, and {expected}; there was {dict(last.states)}, {held} held.")
        return 1
    return 0


def _said(reactions: Sequence[Reaction], part: str) -> str:
    seconds = [getattr(reaction, part) for reaction in reactions]
    return f"{statistics.median(seconds):.2f} s ({', '.join(f'{s:.2f}' for s in seconds)})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pilots", type=int, default=100, help="how many wait; every second one in its run (%(default)s)"
    )
    parser.add_argument("--registry", type=int, default=300, help="sites in sites.yaml, 12 of them real (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="one window of measuring (%(default)g)")
    parser.add_argument("--rounds", type=int, default=3, help="windows; medians are printed (%(default)s)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="another setting of Airflow, to compare"
    )
    parser.add_argument("--quick", action="store_true", help="10 pilots, one window of 30 s")
    parser.add_argument("--folder", type=Path, help="where the installation lives while it runs; else below $TMPDIR")
    options = parser.parse_args()
    if options.quick:
        options.pilots, options.rounds, options.seconds = 10, 1, 30.0
    if options.pilots < 2:
        parser.error("--pilots: two at least, one of each kind")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended and taken away
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="pps-waiting-", ignore_cleanup_errors=True) as name:
        return run(options, Path(name))


if __name__ == "__main__":
    sys.exit(main())
