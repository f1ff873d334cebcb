"""What a stolen controller can do at a site with a kit: attacks, who refused each, and what was changed by it.

A real sshd with the kit's line in authorized_keys, keys of people that are made for it, the real receiver; the attacker
holds the controller's key and whatever it sends. The whole site is compared before and after each attack.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pps.domain.sites.site import Scheme
from pps.sandbox.demo.play import DemoSummary, Table, Tell
from pps.sandbox.kit.attacks import ATTACKS, Attack, Scene, changes, seen_at
from pps.sandbox.kit.machine import KitMachine, ReachedSite, running, running_as_one_account, why_no_accounts
from pps.sandbox.kit.previews import artefacts_in
from pps.sandbox.kit.site import People

_NOBODY, _NOTHING = "nobody", "nothing"
_COLUMNS = {"tried": "tried", "said": "what came back", "refused_by": "refused by", "changed": "changed at the site"}


def play(tell: Tell, *, accounts: bool = True) -> DemoSummary:
    """Install signed releases, attack the site, install another one; everything is gone afterwards.

    Args:
        accounts: give the site accounts of its own, where this machine can do that; else one does everything.
    """
    summary = DemoSummary("attacks", "success")
    why = why_no_accounts() if accounts else "one account was asked for"
    with (
        tempfile.TemporaryDirectory(prefix="pps-attacks-", ignore_cleanup_errors=True) as name,
        _site(Path(name), summary, one_account=bool(why)) as site,
    ):
        kind = "one account" if why else "three accounts"
        tell(f"a site with the kit, {kind}, and an sshd on port {site.port}; the attacker has the controller's key")
        _attacked(site, summary, tell, why)
    summary.run_state = "failed" if summary.problems else "success"
    return summary


@contextmanager
def _site(folder: Path, summary: DemoSummary, *, one_account: bool) -> Iterator[ReachedSite]:
    people, store = People(folder / "keys", Scheme.SSH), artefacts_in(folder / "artefacts")
    place = folder / "site"
    with running_as_one_account(place, people, store) if one_account else running(place, people, store) as site:
        if isinstance(site, KitMachine):
            site.inside("sh", "/srv/pps-kit/bin/pps-kit-install", check=False)
            site.inside("chown", "ppskeep", "/srv/tags/ce.example.org/ops")
            site.inside("mkdir", "-m", "1777", "/srv/spied")
            said = site.inside("/opt/pps-kit/bin/pps-kit-check", check=False)
            summary.problems += [line for line in said.splitlines() if line.startswith("WRONG")]
        yield site


def _attacked(site: ReachedSite, summary: DemoSummary, tell: Tell, why_one_account: str) -> None:
    scene = Scene.with_releases(site)
    summary.problems += scene.begin()
    installed = " and ".join(release.name for release in scene.releases[:2])
    tell(f"signed by two people and installed: {installed}; a stolen key was revoked")
    attacks = [attack for attack in ATTACKS if not (why_one_account and attack.needs_accounts)]
    rows = [_row(attack, scene, summary, tell) for attack in attacks]
    summary.tables.append(Table("attacks", "At a site with a kit, with the controller's key", _COLUMNS, rows))
    refused = sum(row["refused_by"] != _NOBODY and row["changed"] == _NOTHING for row in rows)
    wrong = scene.end()
    tell(wrong[0] if wrong else f"signed by two people and installed: {scene.releases[2].name}")
    summary.problems += wrong
    summary.remarks += [
        f"Not tried, since one account does everything here ({why_one_account}): {attack.tried}."
        for attack in ATTACKS
        if attack not in attacks
    ]
    summary.done = (
        f"{refused} of {len(rows)} attacks were refused, and not a file of the site was changed by them; "
        "what two people had signed was installed before and after."
    )


def _row(attack: Attack, scene: Scene, summary: DemoSummary, tell: Tell) -> dict[str, str]:
    attack.before(scene)
    before = seen_at(scene.site)
    said = attack.act(scene)
    changed = changes(before, seen_at(scene.site))
    refused_by = attack.refused_by(said)
    summary.expect(refused_by, f"NOT REFUSED: {attack.tried}; what came back: {said}")
    summary.expect(not changed, f"CHANGED by an attack ({attack.tried}): {', '.join(changed[:5])}")
    row = {
        "tried": attack.tried,
        "said": said,
        "refused_by": refused_by or _NOBODY,
        "changed": ", ".join(changed[:5]) or _NOTHING,
    }
    tell(f"  {row['tried']}")
    tell(f"      {said}")
    tell(f"      refused by {row['refused_by']}; changed at the site: {row['changed']}")
    return row
