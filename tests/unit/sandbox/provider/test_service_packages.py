"""The sandbox's sample of a service: what its developers offer, and how its release notes configure it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pps.activities.ports.packages import UnpackBudget
from pps.activities.quality.scenario_run import configuration_steps
from pps.adapters.packages.package_files import PackageFiles
from pps.sandbox.provider.service_packages import CONFIGURATION, PARAMETER, make_service_packages


def test_a_version_is_the_same_files_each_time_and_another_version_is_not(tmp_path: Path) -> None:
    one, two, other = (
        make_service_packages(tmp_path / n, v) for n, v in (("a", "3.1.24"), ("b", "3.1.24"), ("c", "3.1.25"))
    )
    assert one.packages == two.packages
    assert [p.read_bytes() for p in one.files] == [p.read_bytes() for p in two.files]
    assert {p.read_bytes() for p in one.files}.isdisjoint({p.read_bytes() for p in other.files})


def unpacked(file: Path, root: Path) -> None:
    """The package's files below a folder, where its scripts look for their configuration, too."""
    with PackageFiles().open(file, UnpackBudget(1 << 20, 100)) as package:
        for member, content in package.members():
            text = content.read().decode()
            if text:
                path = root / str(member.path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text.replace("/etc/glite-wms", f"{root}/etc/glite-wms"))
                path.chmod(0o755)


def test_the_release_notes_configure_what_the_new_version_needs_and_the_old_one_needs_nothing(tmp_path: Path) -> None:
    (step,) = configuration_steps(CONFIGURATION)
    for name, is_new in (("old", False), ("new", True)):
        root = tmp_path / name
        provided = make_service_packages(root / "packages", "3.2.0", new_parameter=is_new)
        unpacked(provided.files[0], root)
        manager = root / "usr/sbin/glite-wms-manager"
        done = subprocess.run([manager, "--check"], capture_output=True, text=True, check=False)
        assert done.returncode == int(is_new), done.stdout
        if is_new:
            assert f"{PARAMETER} is not set" in done.stderr
    here = step.replace("/etc/glite-wms", f"{root}/etc/glite-wms").replace("glite-wms-manager", str(manager))
    followed = subprocess.run(["/bin/sh", "-ec", here], capture_output=True, text=True, check=False)
    assert (followed.returncode, followed.stdout) == (0, "The configuration is complete.\n"), followed.stderr
    said = subprocess.run([manager, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == "glite-wms-manager 3.2.0\n"
