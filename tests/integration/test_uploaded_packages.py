"""Providers upload packages into a repository of ours, and submit what lies there; real packages, signatures, HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.test_submitted_releases import CLIENT, LOG
from tests.support.described import as_described
from tests.support.provider import Provider, apt_provider  # noqa: F401
from tests.support.submitting import OTHER, PAT, Submitting

from pps.domain.packages.patch import PackageRef, RepositoryKind
from pps.domain.record.facts import FactKind
from pps.sandbox.provider.package_formats import SamplePackage

RPM = replace(CLIENT, ref=PackageRef("client", "1.0-1", "noarch"))


@pytest.fixture
def world(apt_provider: Provider, tmp_path: Path) -> Iterator[Submitting]:
    (tmp_path / "world").mkdir()
    made = Submitting(apt_provider, tmp_path / "world")
    yield made
    made.store.dispose()


@pytest.mark.parametrize(("package", "kind"), [(CLIENT, RepositoryKind.APT), (RPM, RepositoryKind.YUM)])
def test_what_is_uploaded_is_signed_by_us_and_can_be_submitted(
    world: Submitting, package: SamplePackage, kind: RepositoryKind
) -> None:
    answer = as_described(world.web, world.upload(world.made(package, kind)))
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert said["package"] == {"name": "client", "version": "1.0-1", "arch": package.ref.arch}
    assert (said["provider"], said["repository"]["kind"]) == ("grid-europe", kind)
    again = world.upload(world.made(package, kind))
    assert (again.status_code, again.json()["new"]) == (200, False)
    platform = "debian12-amd64" if kind is RepositoryKind.APT else "el9-x86_64"
    named = {"repository": said["repository"], "packages": [said["package"]], "platforms": [platform]}
    found = world.sent(world.document(**named))
    assert found["state"] == "entered"
    assert "unsigned" not in [f["code"] for f in found["findings"]], "our own key is asked for"


def test_what_somebody_changes_in_our_repository_is_not_believed(world: Submitting) -> None:
    said = world.upload(world.made(CLIENT)).json()
    for name in ("InRelease", "Release"):
        (file,) = (world.provider.http.folder / "uploads").rglob(name)
        file.write_bytes(file.read_bytes().replace(b"Suite: uploads", b"Suite: changed"))
    found = world.sent(world.document(repository=said["repository"], packages=[said["package"]]))
    assert (found["state"], [f["code"] for f in found["findings"] if f["weight"] == "fault"]) == ("refused", ["index"])


def test_other_content_under_a_name_and_version_that_is_there_is_refused(world: Submitting) -> None:
    world.upload(world.made(CLIENT))
    answer = world.upload(world.made(replace(CLIENT, summary="Something else.")))
    assert (answer.status_code, "published already, with other content" in answer.text) == (422, True)
    assert len(world.store.facts_of_kind([FactKind.PACKAGE_UPLOADED])) == 1


@pytest.mark.parametrize("who", ["ana:Site Administrator", "rita:Release Manager", "root:Admin", ""])
def test_nobody_but_a_providers_people_uploads(world: Submitting, who: str) -> None:
    assert world.upload(world.made(CLIENT), who).status_code == (403 if who else 401)
    assert world.upload(world.made(CLIENT), who, "?provider=grid-europe").status_code == (403 if who else 401)
    assert not list((world.provider.http.folder / "uploads").iterdir())


def test_nobody_uploads_for_another_provider_nor_from_another_sites_page(world: Submitting) -> None:
    assert world.upload(world.made(CLIENT), OTHER, "?provider=grid-europe").status_code == 403
    assert world.upload(world.made(CLIENT), PAT, "", Origin="https://evil.example.net").status_code == 403
    assert world.upload(world.made(CLIENT), OTHER).json()["provider"] == "others"


def test_what_is_no_package_or_a_hostile_one_is_refused_and_nothing_of_it_is_published(world: Submitting) -> None:
    out = SamplePackage(PackageRef("evil", "1-1", "all"), {"../../etc/cron.d/x": (0o644, "* * * * * root id\n"), **LOG})
    for data in (b"no package", world.made(CLIENT)[:-200], world.made(out), b"!<arch>\n", b"\xed\xab\xee\xdb" * 30):
        answer = world.upload(data)
        assert (answer.status_code, answer.json()["detail"] != "") == (422, True), answer.text
    assert world.upload(b"").status_code == 422
    assert world.upload(world.made(CLIENT), **{"Content-Type": "application/json"}).status_code == 415
    published = [p.name for p in (world.provider.http.folder / "uploads").rglob("*.deb")]
    assert not [name for name in published if "evil" in name]


def test_a_package_that_is_too_large_is_cut_off_and_days_have_a_limit(world: Submitting) -> None:
    config = world.services.config
    small = config.policies.submission.model_copy(update={"upload_bytes_at_most": 500, "uploads_per_day": 1})
    data = world.made(CLIENT)
    config.__dict__["policies"] = config.policies.model_copy(update={"submission": small})
    assert len(data) > 500 and world.upload(data).status_code == 413
    in_pieces = iter([data[:400], data[400:]])  # nobody says how long it will be
    assert world.upload(in_pieces).status_code == 413
    larger = small.model_copy(update={"upload_bytes_at_most": 10**6})
    config.__dict__["policies"] = config.policies.model_copy(update={"submission": larger})
    assert world.upload(data).status_code == 201
    other = world.made(replace(CLIENT, ref=PackageRef("client", "1.1-1", "all")))
    assert "packages in a day are enough" in world.upload(other).text
    assert world.upload(data).status_code == 200, "the same file once more is no other one"


def test_its_index_is_signed_again_in_time(world: Submitting) -> None:
    world.upload(world.made(CLIENT))
    roots = [str(own.root) for own in world.services.own_indexes(world.clock())]
    assert any(root.endswith("uploads/grid-europe/apt") for root in roots)
