"""The parts of the demos that need no grid; the paths themselves are walked by the end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pps.config.loader import Configuration
from pps.domain.sites.site import Platform
from pps.sandbox.airflow.configuration import DEFAULT_CONFIG, change_policies, demo_policies
from pps.sandbox.demo.bc import BcDemo
from pps.sandbox.demo.looks import shortened
from pps.sandbox.demo.major_pilot import MajorPilotDemo
from pps.sandbox.demo.minor_pilot import MinorPilotDemo
from pps.sandbox.demo.non_bc import NonBcDemo
from pps.sandbox.demo.play import Demo, DemoSummary
from pps.sandbox.demo.pre_deployment import PreDeploymentDemo, other_architecture
from pps.sandbox.demo.release_testing import ReleaseTestingDemo

DEMOS = (BcDemo, NonBcDemo, PreDeploymentDemo, ReleaseTestingDemo, MinorPilotDemo, MajorPilotDemo)


def test_what_is_not_so_becomes_a_problem_and_what_is_does_not() -> None:
    summary = DemoSummary("bc-client-4711-1", "success")
    summary.expect("a tag", "It has no tag.")
    summary.expect([], "Nobody was told.")
    assert summary.problems == ["Nobody was told."]


def test_release_notes_in_short_lack_only_the_long_lists() -> None:
    notes = "Title\n=====\n\nFeedback\n--------\nFine.\n\nPackages\n--------\n  * a\n\nPlatforms\n---------\n  * b\n"
    assert shortened(notes) == "Title\n=====\n\nFeedback\n--------\nFine.\n\nPlatforms\n---------\n  * b"
    assert shortened("") == ""


@pytest.mark.parametrize("demo", DEMOS)
def test_the_times_of_each_demo_are_valid_policies(tmp_path: Path, demo: type[Demo]) -> None:
    (tmp_path / "policies.yaml").write_text(yaml.safe_dump(demo_policies(DEFAULT_CONFIG / "policies.yaml")))
    change_policies(tmp_path, demo.policies)
    policies = Configuration(tmp_path).policies
    written = yaml.safe_load((tmp_path / "policies.yaml").read_text())
    for section, keys in demo.policies.items():
        assert keys.items() <= written[section].items()
        assert hasattr(policies, section)


def test_the_other_architecture_is_never_this_one() -> None:
    for arch in ("amd64", "arm64", "s390x"):
        here = Platform("debian12", arch)
        assert other_architecture(here).arch != arch
        assert other_architecture(here).os == here.os
