"""`pps classify`: what it says to people and programs, and what it puts on record."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import yaim_trees as trees
from tests.support.front import NOW, PATCH, front, services  # noqa: F401
from typer.testing import CliRunner
from upath import UPath

from pps.activities.ports.packages import IndexedPackage
from pps.adapters.packages.repository_writer import publish_packages
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.packages.patch import PackageRef, Patch, PatchState, Repository, RepositoryKind
from pps.domain.record.facts import FactKind
from pps.sandbox.provider.package_formats import write_deb


@dataclass
class FolderRepositories:
    """The provider's packages, in a folder."""

    folder: Path

    def open(self, repository: Repository) -> FolderRepositories:
        return self

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        return tuple(self._indexed(ref) for ref in refs)

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        return Path(shutil.copy(self._file(package.ref), into))

    def _file(self, ref: PackageRef) -> Path:
        return self.folder / f"{ref.name}_{ref.version}_{ref.arch}.deb"

    def _indexed(self, ref: PackageRef) -> IndexedPackage:
        data = self._file(ref).read_bytes()
        return IndexedPackage(ref, self._file(ref).name, len(data), hashlib.sha256(data).hexdigest())


def offer(front: Front, tree: Mapping[str, str], production: Mapping[str, str] | None, **different: Any) -> Patch:
    """A patch with one package, and another version of it in production."""
    folder = front.services.config.folder / "packages"
    folder.mkdir(exist_ok=True)
    update = trees.package("4.3.10-1", tree)
    write_deb(update, folder)
    if production is not None:
        old = write_deb(trees.package("4.3.9-1", production), folder)
        root = UPath(front.services.config.folder / "production_repository" / "apt")
        publish_packages(
            root, Repository(RepositoryKind.APT, "", "production", ("main",)), [old], NOW, seal=front.services.seal
        )
    front.services.__dict__["repositories"] = FolderRepositories(folder)
    patch = replace(PATCH, packages=(update.ref,), **different)
    front.services.tracker.known[patch.number] = patch
    return patch


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPS_AIRFLOW_USER", "ada@example.org")


def pps(front: Front, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words), obj=front)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def words(text: str) -> str:
    return " ".join(text.split())


def dossier(front: Front) -> list[FactKind]:
    return [f.kind for f in front.services.facts.dossier(4711).facts]


@pytest.mark.slow
def test_it_shows_verdict_reasons_and_every_change_with_its_file(front: Front) -> None:
    offer(front, {**trees.NEW_OPTIONAL, "functions/config_bdii": "requires BDII_HOST\n"}, trees.PRODUCTION)
    code, out, err = pps(front, "classify", "4711")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    text = words(out)
    assert "verdict non-bc: needs configuration at the sites, as in SD 4.1.2" in text
    assert "compared with glite-yaim-bdii-4.3.9-1.all, in production." in text
    assert "BDII_IPV6_SUPPORT new optional" in text
    assert "SITE_NAME dropped" in text
    assert "pps classify 4711 --overrule bc --reason TEXT" in text
    fact = front.services.facts.dossier(4711).need(FactKind.CLASSIFIED, "")
    assert (fact.actor, fact.payload["verdict"]) == ("ada@example.org", "non-bc")
    pps(front, "classify", "4711")
    assert dossier(front) == [FactKind.CLASSIFIED]


def test_what_is_perhaps_new_is_shown_with_file_and_line_and_the_start_is_refused(front: Front) -> None:
    offer(front, trees.PERHAPS_NEW, trees.PRODUCTION)
    out = words(pps(front, "classify", "4711")[1])
    assert "BDII_LOG_DIR perhaps new" in out
    assert "functions/config_bdii:14" in out.replace(" ", "")
    code, out, err = pps(front, "rollout", "start", "4711", "--dry-run", "--path", "bc")
    assert code == 1
    assert "BDII_LOG_DIR is perhaps new" in words(out + err)
    pps(front, "classify", "4711", "--overrule", "bc", "--reason", "It is a folder of our own.")
    assert pps(front, "rollout", "start", "4711", "--dry-run")[0] == 0


def test_a_bc_client_is_told_in_few_words(front: Front) -> None:
    offer(front, trees.PRODUCTION, trees.PRODUCTION)
    _, out, _ = pps(front, "classify", "4711")
    assert "verdict bc: backward compatible" in words(out)
    assert "No variable is new, changed or dropped." in out


def test_programs_get_all_findings(front: Front) -> None:
    offer(front, trees.CHANGED_DEFAULT, trees.PRODUCTION, new_variables=("X",))
    code, out, _ = pps(front, "classify", "4711", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["recorded"]
    assert data["standing"]["verdict"] == "non-bc"
    assert [(f["name"], f["kind"], f["before"], f["after"], f["file"]) for f in data["program"]["findings"]] == [
        ("BDII_PORT", "changed default", "2170", "2171", "opt/glite/yaim/defaults/glite-bdii.pre"),
        ("X", "new", None, None, "tracker"),
    ]


def test_looking_records_nothing(front: Front) -> None:
    offer(front, trees.NEW_OPTIONAL, None)
    _, out, _ = pps(front, "classify", "4711", "--no-record")
    assert "no version in production to compare with" in words(out)
    assert "nothing was recorded" in out
    assert json.loads(pps(front, "classify", "4711", "--no-record", "--json")[1])["standing"] is None
    assert dossier(front) == []


def test_the_release_manager_overrules_and_the_patch_may_go(front: Front) -> None:
    offer(front, trees.NEW_OPTIONAL, trees.PRODUCTION)
    pps(front, "classify", "4711")
    assert "refused" in pps(front, "patches", "list")[1]
    assert pps(front, "rollout", "start", "4711", "--dry-run")[0] == 1
    _, out, _ = pps(front, "classify", "4711", "--overrule", "bc", "--reason", "It is for servers only.")
    assert "The Release Manager says bc: It is for servers only." in words(out)
    assert pps(front, "rollout", "start", "4711", "--dry-run")[0] == 0
    text = words(pps(front, "patches", "show", "4711")[1])
    assert "classified bc, overruled: It is for servers only." in text
    assert "As a preview: admitted." in text
    pps(front, "classify", "4711", "--overrule", "bc", "--reason", "It is for servers only.")
    assert dossier(front) == [FactKind.CLASSIFIED, FactKind.CLASSIFICATION_OVERRULED]


def test_overruling_classifies_first_where_nobody_has(front: Front) -> None:
    offer(front, trees.NEW_OPTIONAL, trees.PRODUCTION)
    assert pps(front, "classify", "4711", "--overrule", "bc", "--reason", "It is for servers only.")[0] == 0
    assert dossier(front) == [FactKind.CLASSIFIED, FactKind.CLASSIFICATION_OVERRULED]


@pytest.mark.parametrize(
    "options",
    [
        ("--overrule", "bc"),
        ("--reason", "Because of that."),
        ("--overrule", "bc", "--reason", "  "),
        ("--overrule", "perhaps", "--reason", "Because of that."),
        ("--overrule", "bc", "--reason", "Because of that.", "--no-record"),
    ],
)
def test_half_an_overruling_is_a_usage_error(front: Front, options: tuple[str, ...]) -> None:
    code, _, err = pps(front, "classify", "4711", *options)
    assert code == 2
    assert "Traceback" not in err
    assert dossier(front) == []


def test_what_cannot_be_classified_is_one_line_on_stderr(front: Front) -> None:
    assert pps(front, "classify", "4799")[2].startswith("error: patch 4799")
    offer(front, trees.PRODUCTION, None, state=PatchState.IN_PRODUCTION)
    code, out, err = pps(front, "classify", "4711")
    assert (code, out) == (1, "")
    assert "is in production already" in err


def test_text_from_packages_cannot_drive_the_terminal(front: Front) -> None:
    offer(front, {"defaults/a.pre": "X='\x1b]0;owned\x07 [red]x[/red] \u202egnp'\n"}, None)
    _, out, _ = pps(front, "classify", "4711")
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    assert "[red]x[/red]" in out
