"""Every fault has its test, or a reason why not: docs/faults.md against docs/faults.yaml and the tests themselves."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FAULTS: dict[str, str] = yaml.safe_load((ROOT / "docs/faults.yaml").read_text())
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/faults.md").read_text().splitlines()
    if re.match(r"\| F\d\d \|", line)
]


def named_in(cell: str) -> list[str]:
    return [name.strip("`") for name in cell.split("<br>") if name]


def test_every_fault_has_one_row_and_no_row_is_of_another() -> None:
    assert [(row[0], row[1]) for row in ROWS] == list(FAULTS.items())


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_names_tests_that_exist_or_says_why_there_are_none(row: list[str]) -> None:
    _, _, held, said = row
    assert held or said
    assert not said or re.fullmatch(r"[A-Z].{30,}\.", said), "a reason is a sentence"
    for name in named_in(held):
        path, _, what = name.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        assert path.startswith("tests/") and what.startswith("test_"), name
        assert what in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)} | {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name) and target.id.startswith("test_")
        }, f"{name} does not exist"
