"""The mail 'In production' says where it is, how apt or dnf uses it, and where its release notes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from tests.support import signing
from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, PATCH, previewed, sqlite_store, templates
from tests.support.paper_packages import beside_on_paper
from tests.support.release_tests import CERTIFIED, LATE, AReleaseTest
from upath import UPath

from pps.activities.packages.production import Production
from pps.activities.ports.people import Mail
from pps.activities.release import decision as release_decision
from pps.activities.release import overruling
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.domain.packages.bill import Carried, Description
from pps.domain.packages.patch import Repository, RepositoryKind
from pps.domain.people.overruling import Urgency
from pps.domain.quality.release_tests import ACCEPT, RELEASE
from pps.domain.record.facts import Fact, FactKind

REASON = "Anybody can read everybody's proxies."


class World:
    """An artefact store that nobody asks."""


class Published(Production):
    """The packages themselves are not what these tests are about."""

    def add_packages(self, provider: Repository, digests: Sequence[str], now: datetime) -> tuple[Carried, ...]:
        return tuple(Carried(ref, "a" * 64, Description()) for ref in PATCH.packages)


def production(store: FactStore) -> Production:
    return Published(
        World(),  # type: ignore[arg-type]
        PublishedFolder(UPath("memory://production")),
        lambda *_: None,
        templates(),
        ["roc-italy@example.org"],
        url="https://packages.example.org/",
        keys=signing.KEYS,
        beside=beside_on_paper(UPath("memory://pages")),
    )


def mail_of(store: FactStore, rollout: str) -> Mail:
    (mail,) = [mail for mail, _, _ in store.outbox(rollout) if "/released/" in mail.key]
    return mail


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("kind", list(RepositoryKind))
def test_of_an_overruled_release_it_names_repository_lines_and_release_notes(kind: RepositoryKind) -> None:
    store = sqlite_store()
    apt = kind is RepositoryKind.APT
    repository = Repository(kind, "https://provider.example.org", "preview" if apt else "", ("main",) if apt else ())
    patch = replace(PATCH, repository=repository)
    name = overruling.open_overruling(at_office(store, now=NOW, actor="emil"), patch, Urgency.URGENT, REASON, run="o/1")
    decision = {"urgency": "urgent", "reason": REASON, "by": {"EMT": "emil"}, "state": patch.state.value}
    store.record_in_dossier(
        patch.number, Fact("patch-4711", FactKind.POLICIES_OVERRULED, "", name, NOW, "pps", decision)
    )
    kept = [[str(ref), "a" * 64] for ref in patch.packages]
    store.record(
        Fact(name, FactKind.PACKAGES_KEPT, "", "", NOW, "pps", {"packages": kept}),
        Fact(name, FactKind.RELEASE_NOTES_WRITTEN, "", "d", NOW, "pps", {}),
    )
    overruling.release_server(at_desk(store.rollout(name), store, patch=patch, now=NOW, actor="pps"), production(store))
    mail = mail_of(store, name)
    for text in (mail.text, mail.html):
        assert f"https://packages.example.org/{kind.value}" in text
        assert f"https://pps.example.org/pps/release-notes/{name}.html" in text
        assert f"https://pps.example.org/pps/release-notes/{name}.cdx.json" in text
        assert "https://pps.example.org/pps/keys/pps-archive-keyring.asc" in text
        assert "0123 4567 89AB CDEF" in text
        assert "trusted=yes" not in text
    keyring = "/etc/apt/keyrings/pps-archive-keyring.asc"
    lines = [line.strip() for line in mail.text.split("\n")]
    if apt:
        assert f"deb [signed-by={keyring}] https://packages.example.org/apt production main" in lines
    else:
        assert {"[pps-production]", "baseurl=https://packages.example.org/yum", "repo_gpgcheck=1"} <= set(lines)


def test_of_a_tested_update_it_names_the_notes_of_its_preview_or_has_the_patch_s_own() -> None:
    def released(test: AReleaseTest) -> str:
        tested = test.asked().answers("PIC", ACCEPT).time_is_up().decided(RELEASE)
        release_decision.release_update(
            at_desk(tested.record, tested.store, patch=tested.patch, now=LATE, actor="pps"), production(tested.store)
        )
        return mail_of(tested.store, tested.name).text

    assert f"> {CERTIFIED.release_notes.splitlines()[0]}" in released(AReleaseTest())
    store = sqlite_store()
    preview = previewed(store)
    store.record(Fact(preview.name, FactKind.RELEASE_NOTES_WRITTEN, "", "d", NOW, "pps", {}))
    store.close(Fact(preview.name, FactKind.ROLLOUT_CLOSED, "", "", NOW, "pps", {"outcome": "not released"}))
    assert f"/pps/release-notes/{preview.name}.html" in released(AReleaseTest(CERTIFIED, store))
