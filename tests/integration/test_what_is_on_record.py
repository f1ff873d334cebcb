"""What the artefact store holds is believed only as far as it is what is on record (docs/adr/0026)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.desks import at_desk
from tests.support.examples import RememberingStore, templates
from tests.support.previews import SMALL, FactsInMemory, Tree, artefacts_in
from upath import UPath

from pps.activities.clients import nightly
from pps.activities.clients.distribution import Payloads
from pps.activities.packages.payloads import is_sound, links_into, prepare_payload
from pps.activities.packages.production import verified_copies
from pps.activities.packages.tarball import manifest_of, tarball_of, whole_tarball_of
from pps.activities.people.tampering import tell_of_tampering
from pps.activities.ports.packages import Tarball
from pps.adapters.packages.artefacts import ArtefactStore
from pps.domain.base.errors import TamperedError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NAME = "bc-client-4711-1"


class Kept:
    """A tarball in a real store, and on record."""

    def __init__(self, folder: Path, tree: Tree = SMALL, version: str = "1.0") -> None:
        made = artefacts_in(folder / f"made-{version}")
        self.tarball: Tarball = made.make(tree, version)
        self.store = ArtefactStore(UPath(folder / "store"), folder / "cache" / "artefacts")
        self.store.keep(self.tarball, made.folder / self.tarball.name)
        self.folder = folder / "store" / self.tarball.name
        self.cache = folder / "cache" / "payloads"
        self.fact = Fact(NAME, FactKind.TARBALL_BUILT, "", "", NOON, "test", self.payload)
        self.record = Rollout(NAME, (self.fact,))

    @property
    def payload(self) -> dict[str, object]:
        made = self.tarball
        return {"name": made.name, "digest": made.digest, "files": dict(made.files), "size": made.size, "packages": []}

    def describe_anew(self) -> None:
        """What somebody does who swaps files: the store's own description fits them."""
        files = {p.name: _sha256(p) for p in self.folder.iterdir() if p.name != "tarball.json"}
        about = {**self.payload, "files": files, "digest": files["MANIFEST"]}
        (self.folder / "tarball.json").write_text(json.dumps(about))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _swapped_tree(kept: Kept) -> None:
    other = artefacts_in(kept.folder.parent.parent / "other")
    evil = other.make({**SMALL, "bin/tool": b"#!/bin/sh\necho evil\n"}, "1.0")
    for path in (other.folder / evil.name).iterdir():
        shutil.copyfile(path, kept.folder / path.name)
    kept.describe_anew()


def _other_part(kept: Kept) -> None:
    (kept.folder / "client-PPS-1.0.tar.gz").write_bytes(b"other")
    kept.describe_anew()


def _cut_part(kept: Kept) -> None:
    part = kept.folder / "client-PPS-1.0.tar.gz"
    part.write_bytes(part.read_bytes()[:-20])


def _added_file(kept: Kept) -> None:
    (kept.folder / "zz-extra.tar.gz").write_bytes(b"extra")
    kept.describe_anew()


def _removed_file(kept: Kept) -> None:
    (kept.folder / "client-PPS-1.0-external.tar.gz").unlink()


def _removed_and_described(kept: Kept) -> None:
    _removed_file(kept)
    kept.describe_anew()


def _other_manifest(kept: Kept) -> None:
    with (kept.folder / "MANIFEST").open("a") as file:
        file.write("f - 0755 0 bin/more\n")


def _no_description(kept: Kept) -> None:
    (kept.folder / "tarball.json").write_text("{}")


HARMS: list[Callable[[Kept], None]] = [
    _swapped_tree,
    _other_part,
    _cut_part,
    _added_file,
    _removed_file,
    _removed_and_described,
    _other_manifest,
    _no_description,
]


@pytest.mark.parametrize("harm", HARMS, ids=lambda h: h.__name__.strip("_"))
def test_a_tarball_in_the_store_that_is_not_what_is_on_record_is_refused(
    tmp_path: Path, harm: Callable[[Kept], None]
) -> None:
    kept = Kept(tmp_path)
    assert whole_tarball_of(kept.record, kept.store) == kept.tarball
    harm(kept)
    with pytest.raises(TamperedError):
        whole_tarball_of(kept.record, kept.store)
    with pytest.raises(TamperedError):  # and so it is where a payload is made of it
        tarball = tarball_of(kept.record, kept.store)
        prepare_payload(tarball, manifest_of(tarball, kept.store), None, kept.store, kept.cache)


@pytest.mark.parametrize("digest", [None, "", "0" * 63])
def test_a_record_without_a_digest_is_not_believed(tmp_path: Path, digest: str | None) -> None:
    kept = Kept(tmp_path)
    record = Rollout(NAME, (replace(kept.fact, payload={**kept.payload, "digest": digest}),))
    with pytest.raises(TamperedError, match="no digest on record"):
        tarball_of(record, kept.store)


def test_a_payload_in_the_cache_that_is_not_what_was_built_is_built_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    manifest = manifest_of(kept.tarball, kept.store)
    path = prepare_payload(kept.tarball, manifest, None, kept.store, kept.cache)
    whole = path.read_bytes()
    other = Kept(tmp_path / "other", {**SMALL, "bin/tool": b"#!/bin/sh\necho evil\n"})
    evil = prepare_payload(other.tarball, manifest_of(other.tarball, other.store), None, other.store, other.cache)
    for content in (evil.read_bytes(), whole[:-30], b"", whole[:200] + b"x" + whole[201:]):
        path.write_bytes(content)
        assert not is_sound(path, manifest, {})
        assert prepare_payload(kept.tarball, manifest, None, kept.store, kept.cache) == path
        assert path.read_bytes() == whole
    path.unlink()
    path.symlink_to(evil)
    assert prepare_payload(kept.tarball, manifest, None, kept.store, kept.cache).read_bytes() == whole
    assert not path.is_symlink()


def test_an_older_tarball_is_built_upon_only_as_it_is_on_record_and_somebody_hears_of_it(tmp_path: Path) -> None:
    old = Kept(tmp_path, {**SMALL, "lib/big": b"big" * 1000}, "1.0")
    new = Kept(tmp_path, {**SMALL, "lib/big": b"big" * 1000, "bin/tool": b"new"}, "1.1")
    alarms: list[TamperedError] = []

    def base(facts: FactsInMemory) -> str | None:
        payloads = Payloads(new.tarball, facts, new.store, new.cache, alarms.append)  # type: ignore[arg-type]
        return asyncio.run(payloads.smallest({old.tarball.name: old.tarball.digest}))[1]

    on_record = FactsInMemory(NAME, [old.fact])
    assert base(FactsInMemory(NAME, [])) is None, "the store's word alone is not enough"
    assert base(on_record) == old.tarball.name
    assert links_into(manifest_of(new.tarball, new.store), manifest_of(old.tarball, old.store))
    _other_manifest(old)
    old.describe_anew()
    assert base(on_record) is None
    assert [old.tarball.name in str(error) for error in alarms] == [True]


def test_packages_are_published_from_copies_that_have_the_digest_on_record(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    package = tmp_path / "tool_1_amd64.deb"
    package.write_bytes(b"package")
    digest = _sha256(package)
    kept.store.keep_package(package, digest)
    in_store = tmp_path / "store" / "packages" / digest / package.name
    with verified_copies(kept.store, [digest]) as (copy,):
        in_store.write_bytes(b"swapped meanwhile")
        assert copy.read_bytes() == b"package"
    with pytest.raises(TamperedError), verified_copies(kept.store, [digest]):
        pass


def test_people_in_charge_hear_of_it_once_and_no_site_is_marked(tmp_path: Path) -> None:
    store = RememberingStore(f"sqlite:///{tmp_path}/facts.db")
    store.upgrade()
    opened = {"path": "bc-client", "patch": 4711, "title": "Clients", "metapackage": "client", "version": "1.0"}
    store.open("bc-client", 4711, Fact(NAME, FactKind.ROLLOUT_OPENED, "", "", NOON, "test", opened), "run")
    error = TamperedError("client-1.0, MANIFEST", "has not the digest on record.", "Find out who changed it.")
    to = ["pps@example.org", "rm@example.org", "pps@example.org"]
    told = [
        tell_of_tampering(at_desk(store.rollout(NAME), store, templates=templates(), now=NOON, actor="test"), error, to)
        for _ in range(2)
    ]
    assert told == [True, False]
    assert {mail.to for mail, _, _ in store.outbox(NAME)} == {"pps@example.org", "rm@example.org"}
    assert all("has not the digest on record" in mail.text for mail, _, _ in store.outbox(NAME))
    assert [f.kind for f in store.rollout(NAME).facts] == [FactKind.ROLLOUT_OPENED, FactKind.ARTEFACT_REFUSED]


def test_a_night_says_so_and_plans_nothing_for_that_preview(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    heard: list[str] = []
    night = nightly.Night(
        *(None,) * 4,  # type: ignore[arg-type]
        kept.store,
        *(None,) * 3,  # type: ignore[arg-type]
        lambda record, error: heard.append(record.name),
    )
    assert nightly._may_be_sent(night, kept.record)
    _swapped_tree(kept)
    assert not nightly._may_be_sent(night, kept.record)
    assert heard == [NAME]
    with tarfile.open(kept.folder / "client-PPS-1.0.tar.gz"):
        pass  # the store's own word for it would have been a sound archive
