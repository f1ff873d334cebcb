"""scenarios.yaml: several origins in one file, and every mistake with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.front import site, write_config

from pps.config.loader import Configuration, problems_in
from pps.config.scenario_models import ScenariosFile
from pps.domain.base.errors import ConfigurationError
from pps.domain.quality.scenarios import AUTOMATIC, Origin, OriginKind

ENTRY: dict[str, Any] = {"name": "wn", "platform": "debian12-amd64", "origin": {"region": "North"}}


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return write_config(tmp_path, [site("PIC"), site("CNAF-PPS", infrastructure="PPS")])


def declare(config: Configuration, *entries: dict[str, Any]) -> Configuration:
    (config.folder / "scenarios.yaml").write_text(json.dumps({"scenarios": entries}))
    return config


def test_without_the_file_there_are_no_scenarios(config: Configuration) -> None:
    assert config.scenarios == ()


def test_the_shipped_file_is_valid_and_so_is_the_example_in_it(config: Configuration) -> None:
    text = (Path(__file__).parents[3] / "config" / "scenarios.yaml").read_text()
    assert yaml.safe_load(text) == {"scenarios": []}
    example = text[text.index("# scenarios:") : text.index("\nscenarios: []")].replace("# ", "", 1)
    lines = [line.removeprefix("# ") for line in example.splitlines()]
    (config.folder / "scenarios.yaml").write_text("\n".join(lines))
    found = problems_in(config.folder / "scenarios.yaml", ScenariosFile)
    assert found == ()


def test_each_entry_says_who_wants_it(config: Configuration) -> None:
    origins = ({"region": "North"}, {"site": "PIC"}, {"vo": "atlas"}, {"developer": "dpm"}, {"coordination": "PPS"})
    declare(config, *(ENTRY | {"name": f"s{n}", "system": f"s{n}", "origin": o} for n, o in enumerate(origins)))
    assert [s.origin.kind for s in config.scenarios] == list(OriginKind)
    first = config.scenarios[0]
    assert (first.origin, first.runner, first.node_type) == (Origin(OriginKind.REGION, "North"), AUTOMATIC, "any")


@pytest.mark.parametrize(
    ("different", "says"),
    [
        ({"origin": {"emperor": "Nero"}}, "scenarios.wn.origin.emperor: is not a key that we know"),
        ({"origin": {}}, "scenarios.wn.origin: origin names one of region, site, vo, developer, coordination"),
        ({"origin": {"vo": "atlas", "site": "PIC"}}, "origin names one of"),
        ({"origin": "atlas"}, "scenarios.wn.origin"),
        ({"platform": "debian12;id"}, "scenarios.wn.platform"),
        ({"runner": "-rf"}, "scenarios.wn.runner"),
        ({"mandatory": "yes please"}, "scenarios.wn.mandatory"),
        ({"colour": "red"}, "scenarios.wn.colour: is not a key that we know"),
        ({"system": "a b"}, "scenarios.wn.system"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(config: Configuration, different: dict[str, Any], says: str) -> None:
    declare(config, ENTRY | different)
    assert any(says in problem for problem in problems_in(config.folder / "scenarios.yaml", ScenariosFile))


def test_a_table_with_a_contradiction_is_not_used(config: Configuration) -> None:
    declare(config, ENTRY, ENTRY | {"name": "again", "runner": "CNAF-PPS"})
    with pytest.raises(ConfigurationError, match="given to automatic and to CNAF-PPS"):
        _ = config.scenarios
