"""Of `pps doctor`: Airflow's components, its DAGs, how it is set, and whether all clocks agree."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import requests

from pps.activities.sites.diagnosis import Finding, Health, failure
from pps.adapters.http_session import arranged, why_no_answer
from pps.cli.front import Front
from pps.domain.base.errors import RolloutError
from pps.workflow.paths import STARTS

_OURS = "pps.orchestration.secrets.GridSecretsBackend"
_SAFE = "pps.orchestration.executor.SafeLocalExecutor"
#: By the last part of their names; provider packages give them under several.
_ELSEWHERE = ("CeleryExecutor", "KubernetesExecutor")
_RUNS_A_LOOP, _AIRFLOWS_OWN = "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE", 20
_SECTION = "docs/production.md, 5."
_PATIENCE_S = 10.0
#: ours: dates that people agree on are minutes at the least; what is signed for a moment is signed for one minute
_MOST_SKEW = timedelta(seconds=30)


def settings_of(here: Front) -> dict[str, Any] | None:
    """How the api-server says that it is set; None where it does not say."""
    try:
        answer = here.airflow.request("GET", "pps/api/v1/settings")
        return dict(answer.json()) if answer.ok else None
    except (RolloutError, ValueError):
        return None  # a finding of its own


def airflow_findings(here: Front, settings: dict[str, Any] | None) -> Iterator[Finding]:
    """Everything about Airflow; one finding, where it does not answer."""
    try:
        health = here.airflow.request("GET", "api/v2/monitor/health").json()
        known = here.airflow.dags()
    except RolloutError as error:
        yield failure("Airflow", error)
        return
    except ValueError:
        yield Finding("Airflow", Health.FAIL, "answers, but not as Airflow does.", "Correct PPS_AIRFLOW_URL.")
        return
    for component, said in health.items():
        yield _component(component, (said or {}).get("status"))
    yield from _dags(known)
    if settings is None:
        why = "does not say how it is set: our plugin is not loaded, or is older than this version."
        yield Finding("Airflow settings", Health.FAIL, why, f"Set AIRFLOW__CORE__PLUGINS_FOLDER: {_SECTION}")
        return
    yield executor_finding(str(settings["executor"]), int(settings.get("runs_a_loop", _AIRFLOWS_OWN)))
    yield _secrets(settings)
    yield _execution_api(settings)


def _component(component: str, state: str | None) -> Finding:
    if state == "healthy":
        return Finding(f"Airflow {component}", Health.OK, "healthy.")
    process = component.replace("_", "-")
    return Finding(f"Airflow {component}", Health.FAIL, f"is {state or 'not running'}.", f"Start airflow {process}.")


def _dags(known: Any) -> Iterator[Finding]:
    """A paused DAG takes starts and runs nothing, which looks like a rollout that hangs."""
    for dag in STARTS:
        if dag not in known:
            yield Finding(f"DAG {dag}", Health.FAIL, "Airflow does not know it.", "Look for import errors in Airflow.")
        elif known[dag]:
            step = f"Run: airflow dags unpause {dag}. Set AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=False: {_SECTION}"
            yield Finding(f"DAG {dag}", Health.FAIL, "is paused: it takes starts, and its runs wait.", step)
        else:
            yield Finding(f"DAG {dag}", Health.OK, "is ready.")


def executor_finding(executors: str, runs_a_loop: int) -> Finding:
    """Judge `[core] executor`: one or several, with a name of their own or without; and what only ours can do with."""
    named = [part.split(":")[-1].strip() for part in executors.split(",") if part.strip()]
    bad = [name for name in named if name != _SAFE and name.rpartition(".")[2] not in _ELSEWHERE]
    if named and not bad and set(named) != {_SAFE} and runs_a_loop < _AIRFLOWS_OWN:
        why = f"the scheduler looks at {runs_a_loop} runs in each loop, and {', '.join(named)} puts none first:"
        why += " each step waits until all runs that wait were looked at."
        return Finding(
            "executor", Health.WARN, why, f"Take {_RUNS_A_LOOP} away, or set it to {_AIRFLOWS_OWN}: {_SECTION}"
        )
    if named and not bad:
        return Finding("executor", Health.OK, ", ".join(named))
    why = f"{', '.join(bad) or 'none'} is set: it fails tasks that have answered questions, or runs one at a time."
    step = f"Set AIRFLOW__CORE__EXECUTOR={_SAFE}, or the one of Celery or Kubernetes: {_SECTION}"
    return Finding("executor", Health.FAIL, why, step)


def _secrets(settings: dict[str, Any]) -> Finding:
    """It makes the sites' SSH Connections; another one (Vault, ...) may do so as well."""
    keys = {
        "secrets_backend": "AIRFLOW__SECRETS__BACKEND",
        "worker_secrets_backend": "AIRFLOW__WORKERS__SECRETS_BACKEND",
    }
    unset = [variable for key, variable in keys.items() if not settings[key]]
    if unset:
        step = f"Set {' and '.join(f'{variable}={_OURS}' for variable in unset)}: {_SECTION}"
        return Finding("secrets backend", Health.FAIL, "is not set: there is no Connection for any site.", step)
    others = sorted({str(settings[key]) for key in keys} - {_OURS})
    if others:
        why = f"{', '.join(others)} has to make the Connections ssh_site_<site>; ours would."
        return Finding("secrets backend", Health.WARN, why, f"See {_SECTION}")
    return Finding("secrets backend", Health.OK, _OURS)


def _execution_api(settings: dict[str, Any]) -> Finding:
    """Where tasks say that they begin, and how they ended."""
    subject, url = "execution API", str(settings["execution_api"])
    if not url:
        why = f"its address is not set: every task talks through {settings['base_url'] or 'the proxy'}."
        step = f"Set AIRFLOW__CORE__EXECUTION_API_SERVER_URL=http://127.0.0.1:8080/execution/: {_SECTION}"
        return Finding(subject, Health.FAIL, why, step)
    step = f"Correct AIRFLOW__CORE__EXECUTION_API_SERVER_URL: {_SECTION}"
    try:
        with arranged(requests.Session(), url, proxies=False) as session:
            answer = session.get(f"{url.rstrip('/')}/health", timeout=_PATIENCE_S, allow_redirects=False)
            healthy = answer.ok and answer.json() == {"status": "healthy"}
    except (OSError, ValueError) as error:
        why, step = why_no_answer(error, step)
        return Finding(subject, Health.FAIL, f"{url} {why}", step)
    if not healthy:
        return Finding(subject, Health.FAIL, f"{url} answers {answer.status_code}, not as Airflow does.", step)
    return Finding(subject, Health.OK, f"{url} answers.")


def clock_findings(here: Front, settings: dict[str, Any] | None) -> Iterator[Finding]:
    """Dates are compared by whoever looks at them; sites' clocks are findings of the sites."""
    try:
        clocks = {"database": here.services.facts.clock()}
    except RolloutError:  # a finding of its own
        clocks = {}
    if settings is not None:
        clocks["api-server"] = datetime.fromisoformat(str(settings["at"]))
    for name, at in clocks.items():
        skew = at - here.now()
        if abs(skew) > _MOST_SKEW:
            late = "ahead of" if skew > timedelta(0) else "behind"
            why = f"is {abs(skew.total_seconds()):.0f} s {late} this machine's."
            yield Finding(f"clock of the {name}", Health.FAIL, why, "Let both machines run NTP, e.g. chrony.")
        else:
            yield Finding(f"clock of the {name}", Health.OK, "agrees with this machine's.")
