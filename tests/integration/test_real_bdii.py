"""From the tag list of a site, through the real BDII's information provider and database, to our adapter."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.bdii import RealBdii, bdii  # noqa: F401

from pps.activities.sites.script import load_script
from pps.adapters.services.bdii import Bdii
from pps.domain.base.errors import ServiceError

TAG = "VO-ops-PPS-GLITE-WN-3.1.23"
CE = "ce.example.org"


def votag(info: Path, action: str) -> None:
    subprocess.run(["sh", "-c", load_script("votag.sh"), "sh", action, str(info), CE, "ops", TAG], check=True)


def eventually(condition: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.sd("4.1.1", step=4)
@pytest.mark.needs("bdii")
def test_a_tag_travels_from_the_list_to_the_adapter_and_back(bdii: RealBdii, tmp_path: Path) -> None:
    information_system = Bdii(bdii.url)

    def tags() -> frozenset[str]:
        try:
            return information_system.tags_of([CE]).get(CE, frozenset())
        except ServiceError:  # the database is empty until the first breath
            return frozenset()

    eventually(lambda: tags() == {"GLITE-3_1_0"})
    (tmp_path / "info").mkdir()
    votag(tmp_path / "info", "add")
    eventually(lambda: tags() == {"GLITE-3_1_0", TAG})
    votag(tmp_path / "info", "remove")
    eventually(lambda: tags() == {"GLITE-3_1_0"})
