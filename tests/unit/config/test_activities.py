"""activities.yaml: an entry that contradicts itself is named."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from pps.config.loader import Configuration
from pps.domain.base.errors import ConfigurationError

ROW = {
    "key": "pilot-setup",
    "section": "4.1.3",
    "who": ["Gold Site"],
    "title": "Set-up the pilot service",
    "effort_pd": 1.5,
    "effort_ph": 12,
    "credits": 12,
}


def read(folder: Path, *rows: dict) -> Configuration:
    (folder / "activities.yaml").write_text(yaml.safe_dump({"activities": list(rows)}))
    return Configuration(folder)


def test_an_activity_is_read(tmp_path: Path) -> None:
    activity = read(tmp_path, ROW).activity("pilot-setup")
    assert (activity.effort_ph, activity.credits, activity.who) == (12, 12, ("Gold Site",))


def test_three_decimals_of_a_day_are_an_hour(tmp_path: Path) -> None:
    assert read(tmp_path, ROW | {"effort_pd": 0.125, "effort_ph": 1, "credits": 1}).activity("pilot-setup").credits == 1


def test_hours_and_credits_that_are_not_stated_follow_from_the_days(tmp_path: Path) -> None:
    row = {k: v for k, v in ROW.items() if k not in ("effort_ph", "credits")}
    assert read(tmp_path, row).activity("pilot-setup").credits == 12
    assert read(tmp_path, row | {"effort_pd": None}).activity("pilot-setup").effort_ph == 0


@pytest.mark.parametrize(
    ("different", "says"),
    [
        ({"credits": 11}, "pilot-setup: effort_pd 1.5 is 12 PH, but credits says 11"),
        ({"effort_ph": 13}, "pilot-setup: effort_pd 1.5 is 12 PH, but effort_ph says 13"),
        ({"effort_pd": 0.1}, "pilot-setup: 0.1 PD are 0.8 person hours"),
        ({"effort_pd": 0.1255}, "pilot-setup.effort_pd"),
        ({"effort_pd": -1}, "pilot-setup.effort_pd"),
        ({"effort_pd": True}, "pilot-setup.effort_pd"),
        ({"effort_pd": float("nan")}, "pilot-setup.effort_pd"),
        ({"effort_pd": float("inf")}, "pilot-setup.effort_pd"),
        ({"effort_pd": None}, "pilot-setup: has no effort_pd"),
        ({"credits": 12.0}, "pilot-setup.credits"),
        ({"per": "month"}, "pilot-setup.per"),
        ({"who": []}, "pilot-setup.who"),
        ({"who": ["=cmd|' /C calc'!A0"]}, "pilot-setup.who"),
        ({"title": "a\nb"}, "pilot-setup.title"),
        ({"section": "4.1.3; id"}, "pilot-setup.section"),
        ({"key": "a b"}, "activities.0.key"),
        ({"surprise": 1}, "pilot-setup.surprise: is not a key that we know"),
    ],
)
def test_an_entry_that_contradicts_itself_is_named(tmp_path: Path, different: dict, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, ROW | different).activities  # noqa: B018
    assert says in str(refused.value)


def test_an_activity_that_is_listed_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="listed twice: pilot-setup"):
        read(tmp_path, ROW, copy.deepcopy(ROW)).activities  # noqa: B018


def test_an_unknown_activity_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="It has: pilot-setup"):
        read(tmp_path, ROW).activity("pilot-set-up")
