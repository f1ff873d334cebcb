"""Products as EGI describes them: what they say of packages and platforms becomes releases of ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bad_input import HTML, TEXTS

from pps.config.egi_products import is_egi_product, releases_of_product
from pps.config.release_documents import parse_release
from pps.domain.base.errors import RefusedError
from pps.domain.packages.patch import PackageRef, RepositoryKind

FOLDER = "https://packages.example.org/condor/9.0/el7"
TARGET = {
    "platform": "centos7",
    "arch": "x86_64",
    "repositoryURL": "sw/production/umd/4/centos7/x86_64/updates",
    "gpgkey": "http://packages.example.org/KEY",
    "rpms": [f"{FOLDER}/condor-9.0.1-1.el7.x86_64.rpm", f"{FOLDER}/condor-annex-ec2-9.0.1-1.el7.noarch.rpm"],
}


def product(*targets: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": "htcondor",
        "version": "9.0.1",
        "technologyProvider": "A university",
        "contact": "releases@example.org",
        "description": "A batch system.",
        "releaseNotes": "https://docs.example.org/9.0/",
        "changeLog": "N/A",
        "documentationLinks": ["https://docs.example.org/manual"],
        "capabilities": ["File Access", "Job Execution"],
        "targets": list(targets or (TARGET,)),
        **changes,
    }


def test_a_product_with_one_repository_is_one_release_with_the_packages_that_its_files_name() -> None:
    (document,) = releases_of_product(product())
    patch = parse_release(document, "releases@example.org").patch
    assert (patch.metapackage, patch.version, [str(p) for p in patch.platforms]) == (
        "htcondor",
        "9.0.1",
        ["centos7-x86_64"],
    )
    assert (patch.repository.kind, patch.repository.url) == (RepositoryKind.YUM, FOLDER)
    assert patch.packages == (
        PackageRef("condor", "9.0.1-1.el7", "x86_64"),
        PackageRef("condor-annex-ec2", "9.0.1-1.el7", "noarch"),
    )
    assert patch.release_notes == (
        "A batch system.\n\n- Release notes: https://docs.example.org/9.0/\n"
        "- Documentation: https://docs.example.org/manual\n- Capabilities: File Access, Job Execution"
    )


def test_each_repository_makes_a_release_of_its_own_version() -> None:
    debian = {
        "platform": "debian12",
        "arch": "amd64",
        "repositoryURL": "https://packages.example.org/debian",
        "debs": ["https://packages.example.org/debian/pool/condor_9.0.1-1_amd64.deb"],
    }
    found = releases_of_product(product(TARGET, debian))
    assert [d["version"] for d in found] == ["9.0.1-centos7", "9.0.1-debian12"]
    patch = parse_release(found[1], "releases@example.org").patch
    assert (patch.repository.kind, patch.repository.suite, patch.packages) == (
        RepositoryKind.APT,
        "./",
        (PackageRef("condor", "9.0.1-1", "amd64"),),
    )


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ({"rpms": []}, "name its packages, as rpms or as debs"),
        ({"rpms": [f"{FOLDER}/condor.rpm"]}, "tells no package"),
        ({"rpms": [f"{FOLDER}/a-1-1.x86_64.rpm", f"{FOLDER}/b/b-1-1.x86_64.rpm"]}, "are in 2 folders"),
        ({"rpms": "all"}, "targets.0.rpms"),
    ],
)
def test_what_tells_no_release_is_refused_in_words(target: dict[str, Any], why: str) -> None:
    with pytest.raises(RefusedError) as refused:
        releases_of_product(product({**TARGET, **target}))
    assert why in str(refused.value)


@pytest.mark.parametrize("text", [*HTML, *TEXTS])
def test_whatever_stands_in_it_is_taken_as_text_or_refused(text: str) -> None:
    for field in ("name", "version", "description", "releaseNotes", "technologyProvider"):
        try:
            for document in releases_of_product(product(**{field: text})):
                parse_release(document, "releases@example.org")
        except RefusedError:
            continue


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda more: st.lists(more) | st.dictionaries(st.sampled_from(["name", "version", "targets", "rpms"]), more),
    )
)
def test_no_other_document_is_taken_for_a_product_and_none_breaks_us(raw: object) -> None:
    if is_egi_product(raw):
        try:
            releases_of_product(raw)
        except RefusedError as error:
            assert error.reasons
