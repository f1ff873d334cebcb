"""What is installed is pinned with hashes; a production has nothing that only tests or the sandbox need."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pins(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Package -> its line (version, marker) and its hashes."""
    found = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / lock).read_text()):
        first, *rest = (line.strip().removesuffix(" \\") for line in entry.strip().splitlines())
        found[re.split(r"[=\[ ]", first)[0]] = (first.split(";")[0].strip(), frozenset(rest))
    return found


def wanted_by(extra: str) -> set[str]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return {re.split(r"[\[;<>= ]", requirement)[0].lower() for requirement in extras[extra]}


def test_every_pin_has_hashes() -> None:
    for lock in ("requirements.lock", "requirements-production.lock"):
        assert all(
            hashes and all(h.startswith("--hash=sha256:") for h in hashes) for _, hashes in pins(lock).values()
        ), lock


def test_production_installs_the_very_files_that_the_tests_have_seen() -> None:
    everything = pins("requirements.lock")
    for name, (pin, hashes) in pins("requirements-production.lock").items():
        assert everything[name] == (pin, hashes), name


def test_production_installs_no_package_of_tests_or_sandbox() -> None:
    production = pins("requirements-production.lock").keys()
    assert "hatchling" in production  # what builds our own package is checked, too
    of_airflow = {"a2wsgi", "httpx", "psutil", "starlette", "uvicorn", "websockets"}  # Airflow itself wants these
    assert not production & ((wanted_by("sandbox") | wanted_by("dev")) - of_airflow)


def test_production_can_be_several_machines_and_celery_is_one_that_its_provider_works_with() -> None:
    production = pins("requirements-production.lock")
    assert production.keys() >= {"s3fs", "celery", "redis", "apache-airflow-providers-celery"}
    # 5.7.0 with provider 3.26.0: workers answer nothing, and no log says why
    provider, celery = (
        production[name][0].partition("==")[2] for name in ("apache-airflow-providers-celery", "celery")
    )
    assert (provider, celery.split(".")[:2]) != ("3.26.0", ["5", "7"])
