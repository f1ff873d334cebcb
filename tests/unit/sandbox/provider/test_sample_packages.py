"""The sandbox's own packages are what real tools take them for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pps.activities.ports.packages import UnpackBudget
from pps.adapters.packages.package_files import PackageFiles
from pps.domain.base.errors import InvalidNameError
from pps.domain.packages.patch import PackageRef, RepositoryKind
from pps.sandbox.provider.package_formats import SamplePackage, write_deb, write_rpm
from pps.sandbox.provider.packages import make_sample_packages


@pytest.mark.parametrize("kind", list(RepositoryKind))
def test_the_same_arguments_give_the_same_bytes_and_versions_differ(tmp_path: Path, kind: RepositoryKind) -> None:
    one, two, other = (
        make_sample_packages(tmp_path / n, v, kind=kind) for n, v in (("a", "1.0"), ("b", "1.0"), ("c", "1.1"))
    )
    assert [p.read_bytes() for p in one.files] == [p.read_bytes() for p in two.files]
    assert {p.read_bytes() for p in one.files}.isdisjoint({p.read_bytes() for p in other.files})
    assert len(one.files) == len(one.packages) + len(one.externals)
    for path, ref in zip(one.files, (*one.packages, *one.externals), strict=True):
        with PackageFiles().open(path, UnpackBudget(1 << 20, 100)) as package:
            assert package.ref == ref
            assert sum(1 for _ in package.members()) > 2


def test_a_version_that_could_reach_a_shell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidNameError):
        make_sample_packages(tmp_path, "1.0; reboot")


def test_epochs_come_through_in_both_formats(tmp_path: Path) -> None:
    ref = PackageRef("x", "2:1.0-1", "noarch")
    for path in (
        write_deb(SamplePackage(ref, {"usr/bin/x": (0o755, "x")}), tmp_path),
        write_rpm(SamplePackage(ref, {"usr/bin/x": (0o755, "x")}), tmp_path),
    ):
        with PackageFiles().open(path, UnpackBudget(1 << 20, 100)) as package:
            assert package.ref == ref


@pytest.mark.needs("dnf")
def test_rpm_reads_our_rpms(tmp_path: Path) -> None:
    files = {"usr/bin/x": (0o755, "hello"), "etc/x.conf": (0o644, "y")}
    path = write_rpm(SamplePackage(PackageRef("x", "3:1.0^git1-1", "noarch"), files, {"usr/bin/y": "x"}), tmp_path)
    form = "%{NAME} %{EVR} %{ARCH} [%{FILENAMES} ]"
    said = subprocess.run(["rpm", "-qp", "--qf", form, path], check=True, capture_output=True, text=True, timeout=60)
    assert said.stdout.split() == ["x", "3:1.0^git1-1", "noarch", "/etc/x.conf", "/usr/bin/x", "/usr/bin/y"]
    subprocess.run(["rpmkeys", "-K", path], check=True, capture_output=True, timeout=60)


@pytest.mark.needs("apt")
def test_dpkg_reads_our_debs(tmp_path: Path) -> None:
    made = make_sample_packages(tmp_path / "made", "3.1.23")
    for path, ref in zip(made.files, (*made.packages, *made.externals), strict=True):
        said = subprocess.run(["dpkg-deb", "-W", path], check=True, capture_output=True, text=True, timeout=60).stdout
        assert said.split() == [ref.name, ref.version]
        subprocess.run(["dpkg-deb", "-x", path, tmp_path / "root"], check=True, timeout=60)
    assert (tmp_path / "root/usr/bin/voms-proxy-info2").read_text().startswith("#!/bin/sh\n")
    assert (tmp_path / "root/usr/lib/x86_64-linux-gnu/libgfal2.so.2").exists()
