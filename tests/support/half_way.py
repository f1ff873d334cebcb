"""Rollouts and pilots of every path that an earlier version has left half-way, put under the code of now.

`tests/support/left_half_way` holds that version's two databases and its grid, and makes them anew. Places in them are
stand-ins, and all dates are those of one day: `restore` is the only place that makes them real.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from pps.activities.quality.deployment_tests import update_digest
from pps.config.patch_documents import parse_patch
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.airflow.postgres import EmbeddedPostgres
from pps.sandbox.grid.control import GRID_FILE
from pps.sandbox.grid.processes import free_port

HALF_WAY = Path(__file__).parent / "left_half_way"
_SETTINGS = json.loads((HALF_WAY / "settings.json").read_text())
_MADE = json.loads((HALF_WAY / "made.json").read_text())
#: The day on which that version was stopped (UTC).
STOPPED = date.fromisoformat(_MADE["stopped"])
#: The port of the provider's repository was in what these digests are of.
_REPOSITORY_THEN: str = _MADE["repository"]
_DATE = re.compile(r"(?<!\d)20\d\d-[01]\d-[0-3]\d(?!\d)")

#: With which that version ran; nobody is late only because a day or two have passed.
POLICIES: Mapping[str, Mapping[str, object]] = _SETTINGS["policies"]
ENVIRONMENT: Mapping[str, str] = _SETTINGS["environment"]

#: Who runs what, and in which state it was left.
AT_SET_UP, AT_REPORT, AT_DECISION = "major-pilot-4761-1", "major-pilot-4762-1", "minor-pilot-4763-1"
CLIENT, NON_BC, TEST = "bc-client-4711-1", "non-bc-client-4721-1", "pre-deployment-4711-1"
RELEASE_TEST, OVERRULE = "release-test-4741-1", "overrule-4723-1"


@dataclass(frozen=True)
class Before:
    """What that version has left, as its own tables say."""

    facts: list[tuple[Any, ...]]
    """oldest first: id, rollout, kind, subject, occasion, at, actor, payload"""
    mails: dict[str, str]
    """key in the outbox -> subject"""
    questions: set[tuple[str, str, str]]
    """human tasks that wait: DAG, run, task"""
    triggers: set[tuple[str, str, str]]
    """of deferred tasks: class, condition, rollout"""


FACTS = "SELECT id, rollout, kind, subject, occasion, at, actor, payload FROM facts ORDER BY id"


def restore(installation: Installation) -> Before:
    """Fill the folder of an installation that has not been started yet."""
    folder, repository = installation.folder, free_port()
    places = {
        "@installation@": str(folder),
        "@checkout@": str(Path(__file__).parents[2]),
        # ports that no machine has; each stands for one of now
        "70001": str(repository),
        "70002": str(urlsplit(installation.url).port),
        "70003": str(free_port()),
        "70004": str(free_port()),
    }
    # to yesterday, so that nothing lies in the future; whole days, so that a date without a time is right as well
    later = datetime.now(UTC).date() - timedelta(days=1) - STOPPED

    def here(text: str) -> str:
        for stand_in, place in places.items():  # not within a digest
            text = re.sub(rf"(?<![0-9A-Za-z]){re.escape(stand_in)}(?![0-9A-Za-z])", lambda _, to=place: to, text)
        return _DATE.sub(lambda found: (date.fromisoformat(found[0]) + later).isoformat(), text)

    with tarfile.open(fileobj=io.BytesIO(gzip.decompress((HALF_WAY / "grid.tar.gz").read_bytes()))) as tar:
        tar.extractall(folder, filter="tar")
    # two things are known by a digest in which the address of the repository is: a mirror, by that of its list ...
    for path in sorted(installation.grid_folder.glob("store/mirror/*/*/MIRROR")):
        path.write_text(here(path.read_text()))
        places[path.parent.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        path.parent.rename(path.parent.with_name(places[path.parent.name]))
    # ... and what is released, by what it was tested as: if now another digest comes out, it would be tested again
    for path in sorted(installation.grid_folder.glob("tracker/patches/*.json")):
        then, now = (
            update_digest(parse_patch(json.loads(path.read_text().replace("70001", port))["patch"]))
            for port in (_REPOSITORY_THEN, str(repository))
        )
        places[then] = now
    for path in sorted(installation.grid_folder.rglob("*")):
        of_site = path.is_relative_to(installation.grid_folder / "sites")  # previews there are known by their digests
        if path.name in (".pps-site", "pilot-service.json") or (
            not of_site and path.suffix in (".json", ".jsonl", ".eml", ".html", ".txt")
        ):
            path.write_text(here(path.read_text(encoding="utf-8")), encoding="utf-8")
    # a grid that starts again takes the ports that it had
    (installation.grid_folder / GRID_FILE).write_text(json.dumps({"format": 1, "ports": {"repository": repository}}))
    with EmbeddedPostgres(folder / "postgres") as postgres:
        urls = {name: postgres.url(name).replace("+psycopg", "") for name in ("airflow", "pps")}
        for name, url in urls.items():
            dump = gzip.decompress((HALF_WAY / f"{name}.sql.gz").read_bytes()).decode()
            with psycopg.connect(url) as connection:
                connection.execute(here(dump))  # type: ignore[arg-type]
        with psycopg.connect(urls["pps"]) as pps, psycopg.connect(urls["airflow"]) as airflow:
            return Before(
                pps.execute(FACTS).fetchall(),
                dict(pps.execute("SELECT key, subject FROM outbox").fetchall()),
                set(
                    airflow.execute(
                        "SELECT dag_id, run_id, task_id FROM task_instance WHERE state = 'awaiting_input'"
                    ).fetchall()
                ),
                {
                    (classpath, said["condition"], said["arguments"]["rollout"])
                    for classpath, kwargs in airflow.execute("SELECT classpath, kwargs FROM trigger").fetchall()
                    for said in [json.loads(kwargs)]
                },
            )
