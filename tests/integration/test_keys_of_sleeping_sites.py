"""Keys change while sites are asleep: they are sent the lists that they lack, and take one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.local_shell import make_sh
from tests.support.previews import SMALL, artefacts_in

from pps.activities.sites.diagnosis import Health
from pps.activities.trust.kit_state import findings_of, read_state
from pps.activities.trust.papers import SignedPapers
from pps.domain.sites.site import Scheme
from pps.domain.trust.signed import Signed
from pps.sandbox.kit.site import KitSite, People

pytestmark = pytest.mark.needs("openssh")
#: They were awake when the second list came; the others slept through two.
AWAKE, SITES = 8, 20


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path / "keys", Scheme.SSH)


@pytest.fixture
def sites(tmp_path: Path, people: People) -> Sequence[KitSite]:
    store, tools = artefacts_in(tmp_path / "artefacts"), make_sh(tmp_path / "tools", "dash")
    store.make(SMALL, "1.0")
    made = [KitSite(tmp_path / f"site-{n}", people, store, tools) for n in range(SITES)]
    for site in made:
        site.unpack()
    return made


def _lists(people: People) -> tuple[Signed, Signed]:
    """Numbers 2 and 3: another Release Manager and another holder of a root key, who signs the third."""
    first = people.root()
    roots = (*first.roots[:2], people.signer("root-4", "root", "holder-4"))
    signers = (people.signer("rm-2", "release-manager"), first.signers[1])
    changed = {"roots": roots, "signers": signers, "revoked": (people.key("rm"),)}
    two, three = (people.root(number, **changed).text for number in (2, 3))
    return (
        people.signed(two, "root-1", "root-3", namespace="pps-root"),
        people.signed(three, "root-1", "root-4", namespace="pps-root"),
    )


def _papers(site: KitSite, keys: Sequence[Signed]) -> str:
    """What the centre sends to any site, by now: signed by who may sign by the third list."""
    (tarball,) = site.store.tarballs.values()
    statement = site.statement(tarball)
    signed = [site.signed(statement, "rm-2", "coordinator")]
    papers = SignedPapers(keys, site.current(statement, root=3), signed).to_install(tarball.name)
    assert papers is not None
    return papers


def _sent(site: KitSite, papers: str) -> list[str]:
    (tarball,) = site.store.tarballs.values()
    came = papers.encode()
    return site.ask("put", str(len(came)), "list", "60", stdin=came + b"full\n" + site.payload(tarball))


def test_twenty_sites_that_slept_through_one_or_two_changes_of_keys_follow_the_newest(
    sites: Sequence[KitSite], people: People
) -> None:
    two, three = _lists(people)
    for site in sites[:AWAKE]:
        assert site.put([two]) == ["PPS-KEYS 2", "PPS-TAKEN"]
    papers = _papers(sites[0], [two, three])

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda site: _sent(site, papers), sites))

    assert [[line for line in lines if line.startswith("PPS-KEYS")] for lines in said] == [
        *[["PPS-KEYS 3"]] * AWAKE,
        *[["PPS-KEYS 2", "PPS-KEYS 3"]] * (SITES - AWAKE),
    ]
    (tarball,) = sites[0].store.tarballs.values()
    assert {lines[-1] for lines in said} == {f"PPS-INSTALLED {tarball.name}"}
    assert {read_state("SITE-K", site.ask("state")).keys for site in sites} == {3}


def test_a_site_that_is_sent_the_list_after_the_next_alone_refuses_and_its_state_says_which_it_lacks(
    sites: Sequence[KitSite], people: People
) -> None:
    site, (two, three) = sites[0], _lists(people)
    why = "PPS-REFUSE keys keys number 3 do not follow number 1, which is in force here: send number 2 first"

    assert site.put([three]) == [why]
    assert _sent(site, _papers(site, [three])) == [why]

    state = read_state("SITE-K", site.ask("state"))
    assert (state.keys, state.followed, state.holds) == (1, {site.what: None}, {})
    (lacks, *_) = findings_of("SITE-K", state, 3, datetime.now(UTC), {})
    assert (lacks.health, lacks.text) == (Health.FAIL, "its kit believes keys number 1; number 3 are in force.")
    # nor does the next one open a way around it: what follows is judged by the newest keys that are here
    assert site.put([two]) == ["PPS-KEYS 2", "PPS-TAKEN"]
    assert _sent(site, _papers(site, []))[-1].startswith(
        "PPS-REFUSE keys keys number 3 are in force, and only number 2"
    )
    assert _sent(site, _papers(site, [three]))[-1].startswith("PPS-INSTALLED")
