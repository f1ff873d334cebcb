"""The sandbox's sample of YAIM: what production has, and an update with a new mandatory variable."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pps.activities.quality.scenario_run import configuration_steps, telling_line
from pps.domain.packages.yaim import ChangeKind, YaimTree, compare
from pps.sandbox.provider.yaim_packages import (
    CONFIGURATION,
    IN_PRODUCTION,
    INCOMPLETE_CONFIGURATION,
    NEW_OPTIONAL,
    NEW_VARIABLE,
    UPDATE,
    write_yaim_package,
    yaim_files,
)


@pytest.mark.sd("4.1.2")
def test_the_update_has_a_new_mandatory_variable_and_an_optional_one() -> None:
    found = compare(YaimTree.read(yaim_files(IN_PRODUCTION)), YaimTree.read(yaim_files(UPDATE)))
    assert {c.name: c.kind for c in found} == {
        NEW_VARIABLE: ChangeKind.NEW_MANDATORY,
        NEW_OPTIONAL: ChangeKind.NEW_OPTIONAL,
    }


def test_a_version_is_the_same_file_each_time(tmp_path: Path) -> None:
    one, two = (write_yaim_package(tmp_path / name, UPDATE) for name in ("one", "two"))
    assert one[0] == two[0]
    assert one[1].read_bytes() == two[1].read_bytes()


def test_the_incomplete_notes_tell_of_the_variable_and_do_not_set_it() -> None:
    steps, incomplete = configuration_steps(CONFIGURATION), configuration_steps(INCOMPLETE_CONFIGURATION)
    assert len(steps) == len(incomplete) == 2
    assert NEW_VARIABLE in steps[0]
    assert NEW_VARIABLE not in incomplete[0]
    assert NEW_VARIABLE in INCOMPLETE_CONFIGURATION


def test_yaim_names_the_variable_that_is_not_set_before_it_writes_anything(tmp_path: Path) -> None:
    for path, text in yaim_files(UPDATE).items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    site_info = tmp_path / "site-info.def"
    site_info.write_text('SITE_NAME="MY-SITE"\n')
    command = ["bash", tmp_path / "opt/glite/yaim/bin/yaim", "-c", "-s", site_info, "-n", "glite-WN"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert telling_line(done.stdout) == f"ERROR: {NEW_VARIABLE} is not set in site-info.def, and it has no default."
    assert "Executing function: config_sd_client\n" not in done.stdout
