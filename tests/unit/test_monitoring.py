"""Alerts, dashboard and runbook speak of numbers, commands and sections that there are.

Prometheus' own `promtool` is not asked: what can be wrong in these files is looked at here, name by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from pps.activities.operations.numbers import GAUGES
from pps.cli.main import app
from pps.config.base_models import parse_duration
from pps.config.loader import load_configuration

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = ROOT / "docs" / "runbook.md"
ALERTS = yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yaml").read_text())
DASHBOARD = json.loads((ROOT / "deploy" / "monitoring" / "dashboard.json").read_text())
KNOWN = {gauge.name: set(gauge.labels) for gauge in GAUGES}
WORDS = {"absent", "max", "min", "sum", "by", "on", "unless", "and", "or"}


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(DASHBOARD["panels"])


def problems(expression: str) -> Iterator[str]:
    """What Prometheus would not take, or would find nothing for: names, labels, parentheses, quotes."""
    rest = re.sub(r'"[^"]*"', '""', expression)
    if rest.count('"') != expression.count('"') or rest.count('"') % 2:
        yield "a quote is not closed"
    for opened, closed in ("()", "{}"):
        depth = 0
        for sign in rest:
            depth += (sign == opened) - (sign == closed)
            if depth < 0:
                yield f"{closed} without {opened}"
        if depth:
            yield f"{opened} is not closed"
    for name, chosen in re.findall(r"\b(pps_\w+)(?:\{([^}]*)\})?", rest):
        if name not in KNOWN:
            yield f"{name} is not measured"
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen):
            if label not in KNOWN.get(name, ()):
                yield f"{name} has no label {label}"
    for labels, name in re.findall(r"by \(([^)]*)\) \((pps_\w+)", rest):
        if unknown := {label.strip() for label in labels.split(",")} - KNOWN.get(name, set()):
            yield f"{name} has no label {', '.join(sorted(unknown))}"
    without = re.sub(r"by \([^)]*\)|on \([^)]*\)|\{[^}]*\}|pps_\w+", " ", rest)
    if unknown := set(re.findall(r"[A-Za-z_]\w*", without)) - WORDS:
        yield f"not known: {', '.join(sorted(unknown))}"


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_is_on_what_is_measured_and_leads_to_a_section_of_the_runbook(rule: dict[str, Any]) -> None:
    assert list(problems(rule["expr"])) == []
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert parse_duration(rule.get("for", "0s")) >= timedelta(0)
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert (ROOT / file, anchor in anchors(RUNBOOK.read_text())) == (RUNBOOK, True)
    section = RUNBOOK.read_text().split("\n## ")[1:]
    mine = next(s for s in section if anchor in anchors(f"# {s.splitlines()[0]}"))
    assert f"`{rule['alert']}`" in mine, "its section names it"
    assert "- Look:" in mine or "- `" in mine
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert f"by ({label}" in rule["expr"] or f", {label})" in rule["expr"], f"{label} is gone before it is told"


def test_alerts_have_names_of_their_own_and_every_section_of_the_runbook_has_an_alert() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    assert set(re.findall(r"`(Pps\w+)`", RUNBOOK.read_text())) == set(names)
    led_to = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in rules()}
    assert led_to == anchors(RUNBOOK.read_text()) - {"runbook"}


def test_alerts_call_it_trouble_when_the_health_page_does() -> None:
    shipped = load_configuration(ROOT / "config").policies.watch
    limits = {
        "PpsNightLate": shipped.night_within,
        "PpsOutboxStuck": shipped.sent_within,
        "PpsOutboxRefused": shipped.waits_within,
        "PpsBackupLate": shipped.backup_within,
        "PpsTrackerSilent": shipped.tracker_missed_for,
        "PpsSignaturesEnd": shipped.signatures_left,
    }
    found = {rule["alert"]: re.search(r"[<>] (\d+)$", rule["expr"]) for rule in rules()}
    assert {name: int(found[name][1]) for name in limits if found[name]} == {  # type: ignore[index]
        name: limit.total_seconds() for name, limit in limits.items()
    }


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_every_panel_of_the_dashboard_asks_for_what_is_measured(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert list(problems(target["expr"])) == []
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), label
        assert target["datasource"] == {"type": "prometheus", "uid": "${source}"}
    place = panel["gridPos"]
    assert 0 <= place["x"] <= place["x"] + place["w"] <= 24


def test_the_dashboard_shows_every_number_and_no_panel_lies_on_another() -> None:
    asked = {name for panel in panels() for t in panel["targets"] for name in re.findall(r"pps_\w+", t["expr"])}
    assert asked == KNOWN.keys()
    assert len({panel["id"] for panel in panels()}) == len(panels())
    cells = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert [v["name"] for v in DASHBOARD["templating"]["list"]] == ["source"]


def test_every_command_that_the_runbook_names_is_there() -> None:
    group: Any = get_command(app)
    named = re.findall(r"`pps ([^`]+)`", RUNBOOK.read_text())
    assert named
    for words in named:
        command = group
        for word in words.split():
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, f"pps {words}: no command {word}"
            command = command.commands[word]
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert set(re.findall(r"--[a-z-]+", words)) <= options | {"--help"}, f"pps {words}"


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("max(pps_nights_seconds) > 1", "pps_nights_seconds is not measured"),
        ('pps_unread{parts="x"} > 0', "pps_unread has no label parts"),
        ("max by (site) (pps_unread)", "pps_unread has no label site"),
        ("max(pps_unread > 0", "( is not closed"),
        ("maximum(pps_unread)", "not known: maximum"),
    ],
)
def test_what_prometheus_would_not_take_is_seen(expression: str, why: str) -> None:
    assert why in list(problems(expression))
