"""A patch as JSON or YAML: what is read, and in which words the rest is refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pps.config.patch_documents import parse_patch, patch_document
from pps.domain.base.errors import PackageError
from pps.domain.packages.patch import PackageRef, PatchKind, PatchState, RepositoryKind, Severity
from pps.domain.sites.site import Platform

# As a tracker would send it, byte for byte: the shape must not change by accident.
DOCUMENT: dict[str, Any] = json.loads("""
{
  "number": 4711, "title": "glite-WN 3.1.23", "state": "In certification",
  "metapackage": "glite-WN", "version": "3.1.23", "platforms": ["debian12-amd64"],
  "repository": {"kind": "apt", "url": "http://repo.example.org/apt", "suite": "bookworm", "components": ["main"]},
  "packages": [{"name": "voms-clients", "version": "2.1.0~rc3-3", "arch": "amd64"}],
  "externals": [{"name": "libgfal2-2", "version": "1:2.21.3-1", "arch": "amd64"}],
  "bugs": [{"number": 28731, "title": "Fails", "severity": "major", "originator": "atlas-software@example.org"}],
  "release_notes": "Line one.\\nLine two.", "special_configuration": "",
  "new_variables": [], "changed_variables": ["BDII_HOST"],
  "basic_certification_passed": true, "install_tested": ["debian12-amd64"], "programming_ph": 12,
  "assigned_to": "a field that only this tracker has"
}
""")


def changed(path: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    *way, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for part in way:
        place = place[part]
    place[last] = value
    return document


def test_a_document_becomes_a_patch_and_foreign_fields_are_ignored():
    patch = parse_patch(DOCUMENT)
    assert patch.state is PatchState.IN_CERTIFICATION
    assert patch.platforms == patch.install_tested == (Platform("debian12", "amd64"),)
    assert patch.repository.kind is RepositoryKind.APT
    assert patch.externals == (PackageRef("libgfal2-2", "1:2.21.3-1", "amd64"),)
    assert patch.bugs[0].severity is Severity.MAJOR
    assert patch.basic_certification_passed and patch.programming_ph == 12


def test_a_patch_may_name_who_provides_it():
    assert parse_patch(DOCUMENT).provider == ""
    patch = parse_patch(DOCUMENT | {"provider": "grid-packages@example.org"})
    assert patch.provider == "grid-packages@example.org"
    assert parse_patch(patch_document(patch), unknown="forbid") == patch
    with pytest.raises(PackageError, match="provider"):
        parse_patch(DOCUMENT | {"provider": "a@b, c@d"})


def test_a_server_update_says_what_it_changes():
    assert parse_patch(DOCUMENT).kind is PatchKind.CLIENT
    server = {
        "kind": "server",
        "service_type": "CREAM-CE",
        "component_parameters": ["cream.conf: max jobs"],
        "operational_changes": "The daemon has another name.\nSee the guide.",
        "database_schema_changed": True,
        "clients_compatible": False,
        "new_functionality": True,
        "installation_guide": "https://docs.example.org/install",
    }
    patch = parse_patch(DOCUMENT | server)
    assert (patch.kind, patch.component_parameters) == (PatchKind.SERVER, ("cream.conf: max jobs",))
    assert (patch.database_schema_changed, patch.clients_compatible, patch.new_functionality) == (True, False, True)
    assert parse_patch(patch_document(patch), unknown="forbid") == patch


def test_a_patch_and_its_document_are_the_same_thing():
    patch = parse_patch(DOCUMENT)
    assert parse_patch(patch_document(patch), unknown="forbid") == patch
    assert parse_patch(yaml.safe_load(yaml.safe_dump(patch_document(patch)))) == patch


def test_in_a_file_that_a_person_wrote_an_unknown_key_is_a_typing_error():
    with pytest.raises(PackageError, match="assigned_to: Extra inputs"):
        parse_patch(DOCUMENT, unknown="forbid")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", "4711"),
        ("number", True),
        ("number", 0),
        ("number", 10**9),
        ("number", 1e999),
        ("title", "two\nlines"),
        ("title", "x\r\nBcc: evil@example.org"),
        ("title", "\u202egnp.exe"),
        ("title", "\ud800"),
        ("title", "x" * 501),
        ("state", "in certification"),
        ("state", None),
        ("metapackage", "$(id)"),
        ("metapackage", "glite-WN\n"),
        ("version", 3.1),
        ("version", "../../etc"),
        ("platforms", "debian12-amd64"),
        ("platforms.0", "debian12"),
        ("platforms.0", "-amd64"),
        ("repository.kind", "ftp"),
        ("repository.url", "file:///etc/passwd"),
        ("repository.url", "http://user:secret@repository.example.org/"),
        ("repository.url", "http://repository.example.org/ x"),
        ("repository.url", "http:///nohost"),
        ("repository.suite", "../../x"),
        ("repository.suite", "stable\n"),
        ("repository.components.0", "a/b"),
        ("packages.0.name", "-rf"),
        ("packages.0.version", "1.0; reboot"),
        ("packages.0.version", "1:2:3"),
        ("packages.0.arch", ""),
        ("packages", {}),
        ("packages", [None]),
        ("bugs.0.severity", "catastrophic"),
        ("bugs.0.originator", "a@b,c@d"),
        ("bugs.0.originator", "x\nBcc: evil@example.org"),
        ("bugs.0.number", -1),
        ("release_notes", "\x1b[2J"),
        ("release_notes", "\x00"),
        ("new_variables", ["X; rm"]),
        ("changed_variables.0", "A\n"),
        ("basic_certification_passed", "yes"),
        ("install_tested", [4]),
        ("kind", "service"),
        ("service_type", "a b"),
        ("component_parameters", ["two\nlines"]),
        ("component_parameters", [""]),
        ("operational_changes", "\x00"),
        ("database_schema_changed", "no"),
        ("clients_compatible", None),
        ("new_functionality", 1),
        ("installation_guide", "x\ny"),
        ("programming_ph", -1),
        ("programming_ph", 2.5),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_its_field(field: str, value: object):
    with pytest.raises(PackageError) as refusal:
        parse_patch(changed(field, value))
    assert field in str(refusal.value)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("raw", [None, [], "x", 4711, {}, {"number": 4711}, {1: 2}])
def test_what_is_no_patch_at_all_is_refused_in_words(raw: object):
    with pytest.raises(PackageError, match=r"Field required|valid dictionary|Keys should be strings"):
        parse_patch(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(field=st.sampled_from(sorted(DOCUMENT)), value=JSON)
def test_any_json_is_a_patch_or_a_package_error(field: str, value: object):
    try:
        patch = parse_patch({**DOCUMENT, field: value})
    except PackageError as refusal:
        assert str(refusal)
    else:
        assert parse_patch(patch_document(patch)) == patch


@pytest.mark.parametrize(
    "version",
    ["2.23.0^20240101git1a2b3c4-1.el9", "1:2.23.0~rc1^git1-1", "0:1-1", "1" * 100],
)
def test_versions_are_those_of_dpkg_and_rpm(version: str) -> None:
    assert parse_patch(changed("packages.0.version", version)).packages[0].version == version


@pytest.mark.parametrize(
    "version",
    [
        "",
        "^1",
        "1 2",
        "1\n",
        "1:2:3",
        "a:1",
        ":1",
        "1:",
        "1/2",
        "$(id)",
        "1;id",
        "1%41",
        "-1",
        "1" * 129,
        "99999999999:1",
    ],
)
def test_other_versions_are_refused_in_words(version: str) -> None:
    with pytest.raises(PackageError, match=r"packages\.0\.version.*is not a version"):
        parse_patch(changed("packages.0.version", version))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suite", "./"),
        ("suite", "/"),
        ("suite", "sub/folder/"),
        ("suite", "./sub/"),
        ("url", "https://download.example.org/repositories/home:/ada/a+b~c"),
        ("url", "https://copr.example.org/results/@group/p%20q/"),
    ],
)
def test_flat_repositories_and_odd_addresses_are_named_as_providers_do(field: str, value: str) -> None:
    repository = {**DOCUMENT["repository"], field: value, "components": []}
    patch = parse_patch({**DOCUMENT, "repository": repository})
    assert getattr(patch.repository, field) == value
    assert parse_patch(patch_document(patch)) == patch
