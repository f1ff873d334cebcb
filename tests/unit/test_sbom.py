"""What a production installs is under licences that somebody has allowed, and others read what it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.support.sbom import LOCK, Rules, inventory, licensed, pinned, refused, said

RULES = Rules.read()


def judged(*licences: str, rules: Rules = RULES) -> list[str]:
    rules = replace(rules, packages={})
    return refused(licensed([("thing", "1.0")], rules, lambda name: list(licences)), rules)


def test_every_licence_of_a_production_is_allowed_and_no_rule_is_left_over() -> None:
    found = list(licensed(pinned(LOCK.read_text()), RULES))
    assert refused(found, RULES) == []
    names = {one.name for one in found}
    assert {"apache-airflow", "psycopg", "prometheus-client"} <= names
    parts = {p.strip("() ") for one in found for c in one.licence.split(" OR ") for p in c.split(" AND ")}
    assert RULES.allowed.keys() - parts == set()
    assert RULES.spelled.keys() - {text for name in names for text in said(name)} == set()
    assert all(entry["because"] for entry in RULES.packages.values())


def test_another_licence_is_refused_by_the_name_of_its_distribution() -> None:
    (why,) = judged("GPL-3.0-only")
    assert why.startswith("thing 1.0: GPL-3.0-only; allow it in bin/licences.yaml")
    assert "says nothing of its licence" in judged()[0]
    assert judged("License :: OSI Approved :: Something New") != []


def test_of_what_stands_to_choose_one_is_enough_and_of_what_belongs_together_all_are_needed() -> None:
    assert judged("EPL-2.0 OR GPL-2.0-or-later") == []
    assert judged("MIT AND PSF-2.0") == []
    assert judged("MIT AND GPL-2.0-only") != []
    assert judged("(Apache-2.0 AND GPL-2.0-only) OR GPL-3.0-only") != []
    # several classifiers do not say which of the two it is
    assert judged("License :: OSI Approved :: MIT License", "License :: OSI Approved :: GNU GPL") != []


def test_a_rule_about_what_is_not_installed_is_told() -> None:
    assert refused([], replace(RULES, packages={"gone": {"licence": "MIT", "because": "x"}})) == [
        "gone is not installed any more; take it out of bin/licences.yaml."
    ]


def test_the_inventory_is_cyclonedx_with_digest_and_licence_of_each(tmp_path: Path) -> None:
    pins = [p for p in pinned(LOCK.read_text()) if p[0] in ("typer", "pyphen", "click")]
    lock = tmp_path / "some.lock"
    lock.write_text("".join(f"{name}=={version} --hash=sha256:{'0' * 64}\n" for name, version in pins))
    document = inventory(lock, licensed(pins, RULES))
    version = SchemaVersion.from_version(document["specVersion"])
    assert JsonStrictValidator(version).validate_str(json.dumps(document)) is None
    assert {c["name"]: c["version"] for c in document["components"]} == dict(pins)
    assert all(c["licenses"][0]["expression"] and c["purl"].startswith("pkg:pypi/") for c in document["components"])
    assert document["metadata"]["component"]["name"] == "pps-rollout"
