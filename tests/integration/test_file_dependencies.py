"""Packages that depend on files: real indexes of createrepo_c over HTTP, with and without their lists of files."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.test_release_looks import Looked, codes, the
from tests.support.examples import sqlite_store
from tests.support.http_folder import HttpFolder, http_folder  # noqa: F401
from tests.support.provider import Provider

from pps.adapters.packages.confined import Confined
from pps.adapters.packages.rpm_solver import solve_rpms
from pps.domain.base.errors import PackageError
from pps.domain.packages.findings import Finding, Weight
from pps.domain.packages.patch import RepositoryKind
from pps.sandbox.provider.package_formats import SamplePackage

pytestmark = [pytest.mark.needs("dnf"), pytest.mark.needs("linux")]

LIBRARY = "/usr/lib64/libfoo.so.1"


def createrepo(folder: Path) -> None:
    """Index a folder anew, with its list of files, by the tool that everybody uses."""
    subprocess.run(["createrepo_c", "--quiet", folder], check=True, capture_output=True, timeout=120)


def without_list(folder: Path) -> None:
    """The same, as an index whose maker leaves the list out."""
    createrepo(folder)
    words = ["modifyrepo_c", "--remove", "filelists", str(folder / "repodata")]
    subprocess.run(words, check=True, capture_output=True, timeout=120)


@pytest.fixture
def world(http_folder: HttpFolder, tmp_path: Path) -> Iterator[Looked]:
    store = sqlite_store(tmp_path)
    made = Looked(Provider(RepositoryKind.YUM, tmp_path, http_folder), store)
    made.index_of_platform = createrepo
    yield made
    store.dispose()


def having(package: SamplePackage, *files: str) -> SamplePackage:
    return replace(package, files={**package.files, **{name[1:]: (0o644, name) for name in files}})


def looked(world: Looked, *packages: SamplePackage) -> tuple[Finding, ...]:
    """What is found in a release whose own index was made by createrepo_c, too."""
    release = world.submitted(*packages)
    createrepo(world.provider.http.folder)
    return world.looked(release)


def of_dependencies(found: Iterable[Finding]) -> list[str]:
    """What is missing, and what nobody knows."""
    return [f.code for f in found if f.code.startswith("dependencies")]


def lists_read(world: Looked) -> bool:
    return any("filelists" in request for request in world.provider.http.requests)


def test_a_file_that_only_the_list_of_files_names_is_found_there(world: Looked) -> None:
    world.platform = [having(world.sample("libfoo"), LIBRARY)]
    assert of_dependencies(looked(world, world.sample("client", "1.0-1", LIBRARY))) == []
    assert lists_read(world)


def test_also_one_that_a_package_further_down_needs_or_that_the_release_itself_brings(world: Looked) -> None:
    deep = world.sample("middle", "1.0-1", LIBRARY)
    world.platform = [deep]
    found = looked(
        world, world.sample("client", "1.0-1", "middle"), having(world.sample("mine"), LIBRARY, "/usr/share/x")
    )
    assert of_dependencies(found) == []
    world.platform = [deep, having(world.sample("libfoo", "2:1.0-1", "/usr/share/x"), LIBRARY)]
    assert of_dependencies(looked(world, world.sample("other", "1.0-1", "middle"))) == [], (
        "the epoch is part of its version"
    )


def test_a_file_that_no_list_names_is_missing(world: Looked) -> None:
    world.platform = [having(world.sample("libfoo"), "/usr/lib64/libbar.so.1")]
    found = looked(world, world.sample("client", "1.0-1", LIBRARY))
    assert codes(found) == ["dependencies"]
    assert LIBRARY in the(found, "dependencies").sentence


def test_the_lists_are_not_read_where_the_index_itself_tells(world: Looked) -> None:
    world.platform = [having(world.sample("perl"), "/usr/bin/perl")]
    assert of_dependencies(looked(world, world.sample("client", "1.0-1", "/usr/bin/perl"))) == []
    assert codes(looked(world, world.sample("other", "1.0-1", "libvoms"))) == ["dependencies"]
    assert not lists_read(world)


def test_without_a_list_nobody_knows_and_what_is_missing_anyway_is_still_said(world: Looked) -> None:
    world.index_of_platform = without_list
    world.platform = [having(world.sample("libfoo"), LIBRARY)]
    found = looked(world, world.sample("client", "1.0-1", LIBRARY), world.sample("worse", "1.0-1", LIBRARY, "libvoms"))
    assert codes(found) == ["dependencies"]
    assert the(found, "dependencies").about.startswith("worse"), "no list of files will bring libvoms"
    (unknown,) = [f for f in found if f.code == "dependencies-not-solved"]
    assert (unknown.weight, unknown.about.startswith("client")) == (Weight.WARNING, True)
    assert "was not found out" in unknown.sentence and LIBRARY in unknown.sentence


def test_one_list_may_tell_what_another_index_does_not(world: Looked) -> None:
    world.platform = [having(world.sample("libfoo"), LIBRARY)]
    release = world.submitted(world.sample("client", "1.0-1", LIBRARY))  # whose own index has no list
    found = world.looked(release)
    assert of_dependencies(found) == []


def test_a_list_that_is_not_what_repomd_says_is_not_believed(world: Looked) -> None:
    def forged(folder: Path) -> None:
        createrepo(folder)
        (path,) = (folder / "repodata").glob("*filelists.xml.gz")
        data = gzip.decompress(path.read_bytes()).replace(b"libbar.so.1", b"libfoo.so.1")
        path.write_bytes(gzip.compress(data))

    world.index_of_platform = forged
    world.platform = [having(world.sample("libfoo"), "/usr/lib64/libbar.so.1")]
    found = looked(world, world.sample("client", "1.0-1", LIBRARY))
    assert codes(found) == [], "nobody knows"
    assert "is not what" in the(found, "dependencies-not-solved").sentence


@pytest.mark.parametrize("xml", ["<!DOCTYPE x [<!ENTITY a 'b'>]><filelists/>", "<filelists><package>"])
def test_a_hostile_list_ends_with_an_error_and_not_with_an_answer(world: Looked, tmp_path: Path, xml: str) -> None:
    release = world.submitted(world.sample("client", "1.0-1", LIBRARY))
    (primary,) = world.provider.repositories.open(release.patch.repository).save_index("x86_64", tmp_path)
    (tmp_path / "filelists.xml").write_text(xml)
    arguments = ([["client", "1.0-1", "noarch"]], [str(primary)], [], [str(tmp_path / "filelists.xml")], True)
    with pytest.raises(PackageError, match="the list of files"):
        Confined().call("the index", solve_rpms, "x86_64", *arguments)
