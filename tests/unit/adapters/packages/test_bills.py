"""What a package says of itself, whoever has made it; and what a release carries, as CycloneDX has it."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.support.archives import REF, deb, deb_of, member, tar
from tests.support.examples import NOW

from pps.activities.ports.packages import UnpackBudget
from pps.adapters.packages.bills import as_cyclonedx
from pps.adapters.packages.package_files import PackageFiles
from pps.domain.packages.advice import Because, Impact, Risk, Status, Vulnerability
from pps.domain.packages.bill import Bill, Carried, Description, by_licence
from pps.domain.packages.patch import PackageRef, RepositoryKind
from pps.sandbox.provider.package_formats import SamplePackage, write_rpm

HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: x\n"
FILES = "\nFiles: {}\nCopyright: somebody\nLicense: {}\n of which this is the text\n"
PLACE = "./usr/share/doc/hostile/copyright"


def said(path: Path, budget: int = 1 << 20) -> Description:
    with PackageFiles().open(path, UnpackBudget(budget, 100)) as opened:
        return opened.says()


def of_deb(folder: Path, copyright_file: str, budget: int = 1 << 20) -> tuple[str, ...]:
    path = deb_of(folder, member("./usr/bin/x", data=b"x" * 100), member(PLACE, data=copyright_file.encode()))
    return said(path, budget).licences


def test_a_deb_names_the_licences_of_its_files_once_each_and_not_those_of_its_packaging_notes(tmp_path: Path) -> None:
    stands_alone = "\nLicense: Zlib\n which no files have\n"
    text = HEAD + FILES.format("*", "Apache-2.0") + FILES.format("debian/*", "GPL-2+") + FILES.format("b", "Apache-2.0")
    assert of_deb(tmp_path, text + stands_alone) == ("Apache-2.0", "GPL-2+")
    assert of_deb(tmp_path, f"{HEAD}License: Expat\n") == ("Expat",)


@pytest.mark.parametrize("text", ["", "This is free software.\nLicense: GPL-2\n", "Files: *\nLicense: GPL-2\n"])
def test_what_only_a_person_can_read_is_no_licence(tmp_path: Path, text: str) -> None:
    assert of_deb(tmp_path, text) == ()


def test_what_a_stranger_writes_stays_on_one_line_and_within_bounds(tmp_path: Path) -> None:
    many = "".join(FILES.format(n, f"L{n}") for n in range(200))
    assert len(of_deb(tmp_path, HEAD + many)) == 50
    [long] = of_deb(tmp_path, HEAD + FILES.format("*", "x\x1b[31m\t" + "y" * 5000))
    assert len(long) == 200 and long.isprintable()


def test_a_deb_that_cannot_be_unpacked_has_no_licences_and_is_told_of_all_the_same(tmp_path: Path) -> None:
    assert of_deb(tmp_path, HEAD + FILES.format("*", "Apache-2.0"), budget=200) == ()
    (broken := tmp_path / "b.deb").write_bytes(deb(gzip.compress(tar(member("a", data=b"x")))[:-20]))
    assert said(broken) == Description()
    linked = deb_of(tmp_path, member(PLACE, kind=b"2", target="/etc/passwd"))
    assert said(linked).licences == ()


def test_maintainers_are_named_without_their_addresses(tmp_path: Path) -> None:
    control = (
        "Package: hostile\nVersion: 1\nArchitecture: all\nMaintainer: Grid team <grid@example.org>\nDescription: x\n"
    )
    (path := tmp_path / "a.deb").write_bytes(deb(gzip.compress(tar()), control=control))
    assert said(path).supplier == "Grid team"


def test_an_rpm_says_it_in_its_header(tmp_path: Path) -> None:
    assert said(write_rpm(SamplePackage(REF, {"usr/bin/x": (0o755, "x")}), tmp_path)).licences == ("Apache-2.0",)


BILL = Bill(
    "bc-client-4711-1",
    4711,
    "glite-WN",
    "3.1.24",
    RepositoryKind.YUM,
    NOW,
    (
        Carried(PackageRef("one", "1:1.0-1", "x86_64"), "a" * 64, Description(("Apache-2.0 AND MIT",), "Grid team")),
        Carried(PackageRef("two", "1.0-1", "noarch"), "b" * 64, Description(("Expat", "Apache-2.0"))),
        Carried(PackageRef("three", "1.0-1", "noarch"), "c" * 64, Description(("ASL 2.0",))),
        Carried(PackageRef("four", "1.0-1", "noarch"), "d" * 64, Description()),
    ),
    (Vulnerability("CVE-2026-12345", Risk.MODERATE), Vulnerability("CVE-2026-12346")),
)


@pytest.mark.parametrize("kind", list(RepositoryKind))
def test_a_bill_is_sound_cyclonedx_and_the_same_each_time(kind: RepositoryKind) -> None:
    bill = replace(BILL, kind=kind)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(as_cyclonedx(bill)) is None
    assert as_cyclonedx(bill) == as_cyclonedx(bill) != as_cyclonedx(replace(bill, version="3.1.25"))


def test_licences_are_spdx_where_they_are_and_else_in_the_package_s_own_words() -> None:
    found = {c["name"]: c for c in json.loads(as_cyclonedx(BILL))["components"]}
    said = {name: [it.get("license", it) for it in c.get("licenses", ())] for name, c in found.items()}
    words = {name: {it.get("id") or it.get("name") or it["expression"] for it in its} for name, its in said.items()}
    assert words == {"one": {"Apache-2.0 AND MIT"}, "two": {"Expat", "Apache-2.0"}, "three": {"ASL 2.0"}, "four": set()}
    assert (
        "expression" in said["one"][0]
        and "name" in said["three"][0]
        and found["one"]["supplier"]["name"] == "Grid team"
    )


def test_it_says_nothing_that_nobody_knows() -> None:
    bill = json.loads(as_cyclonedx(BILL))
    [depends] = bill["dependencies"]  # what packages need of each other is not said, and not denied
    assert depends["ref"] == bill["metadata"]["component"]["bom-ref"] and len(depends["dependsOn"]) == 4
    severities = {v["id"]: v["ratings"][0]["severity"] for v in bill["vulnerabilities"]}
    assert severities == {"CVE-2026-12345": "medium", "CVE-2026-12346": "unknown"}
    assert {c["purl"] for c in bill["components"]} >= {"pkg:rpm/one@1.0-1?arch=x86_64&epoch=1"}


def test_a_statement_of_the_provider_is_said_as_it_is_and_as_the_provider_s() -> None:
    impacts = tuple(
        Impact(f"CVE-2026-{5000 + n}", *it)
        for n, it in enumerate(
            [
                *((Status.NOT_AFFECTED, because) for because in Because),
                (Status.AFFECTED,),
                (Status.UNDER_INVESTIGATION,),
            ]
        )
    )
    text = as_cyclonedx(replace(BILL, fixes=(), impacts=impacts))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    said = {v["id"]: v for v in json.loads(text)["vulnerabilities"]}
    states = [said[i.cve]["analysis"]["state"] for i in impacts]
    assert states == ["not_affected"] * 5 + ["exploitable", "in_triage"]
    reasons = [said[i.cve]["analysis"].get("justification") for i in impacts]
    assert reasons == [
        "code_not_present",
        "code_not_present",
        "code_not_reachable",
        None,
        "protected_by_mitigating_control",
        None,
        None,
    ]
    assert all(
        f"The provider says of patch {BILL.patch}: {i.in_words}." == said[i.cve]["analysis"]["detail"] for i in impacts
    )
    assert [said[i.cve]["affects"][0]["versions"][0]["status"] for i in impacts] == [
        *["unaffected"] * 5, "affected", "unknown",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no CVE id with one of not_affected"),
        ("CVE-2026-12346", "no CVE id with one of not_affected"),
        ("CVE-2026-12346 fixed", "'fixed' is none of not_affected, affected"),
        ("CVE-2026-12346 not_affected", "says why"),
        ("CVE-2026-12346 not_affected because", "'because' is none of component_not_present"),
        ("CVE-2026-12346 affected component_not_present", "the others do not"),
        ("CVE-2026-12346 not_affected component_not_present really", "no CVE id with"),
        ("GHSA-1 under_investigation", "is no CVE id"),
    ],
)
def test_a_statement_that_says_nothing_is_refused_with_what_can_stand_there(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Impact.read(text)


def test_licences_are_listed_with_the_packages_that_name_them_and_those_that_name_none_come_last() -> None:
    names = [(licence, [ref.split("-")[0] for ref in refs]) for licence, refs in by_licence(BILL.packages)]
    assert names[-1] == ("", ["four"]) and ("ASL 2.0", ["three"]) in names
