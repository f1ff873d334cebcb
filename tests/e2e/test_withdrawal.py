"""A preview is taken back at any time, through a real Airflow: tags first, then the files, then everybody hears why."""

from __future__ import annotations

import pytest
from tests.support.airflow_waits import wait_for_run
from tests.support.whole import Grid, far, grid  # noqa: F401

from pps.domain.base.errors import RefusedError
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import SiteState
from pps.sandbox.grid.smtp import kept_mails, read_mail

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh")]

DAG = "withdraw_rollout"
WHY = "It corrupts files that are larger than 2 GB."


def holders(grid: Grid, name: str) -> set[str]:
    """Sites on whose disk the preview lies."""
    tarball = grid.rollout(name).need(FactKind.TARBALL_BUILT, "").payload["name"]
    return {s["name"] for s in grid.control.status()["sites"] if tarball in s["previews"]}


def bodies(grid: Grid, name: str) -> list[str]:
    """What the mails about the withdrawal say."""
    version = grid.rollout(name).opened["version"]
    about = [m for m in kept_mails(grid.mails) if version in m.subject and "withdrawn" in m.subject.lower()]
    texts = (read_mail(grid.mails, mail).get_body(("plain",)) for mail in about)
    return [" ".join(text.get_content().replace("\n> ", " ").split()) for text in texts if text]


def test_a_preview_is_withdrawn_while_vos_try_it(grid: Grid) -> None:
    older = grid.offers(4731, "3.5.1")
    kept = grid.start(older.number, feedback_until=far())
    grid.waits_for_fact(kept, FactKind.BROADCAST_QUEUED)
    announced = grid.seen_tags(kept)
    assert announced
    patch = grid.offers(4732, "3.5.2")
    name = run = grid.start(patch.number, feedback_until=far())
    grid.waits_for_fact(name, FactKind.BROADCAST_QUEUED)
    assert grid.seen_tags(name)

    for conf in ({"rollout": name}, {"rollout": name, "reason": WHY, "evil": 1}, {"rollout": "x;y", "reason": WHY}):
        with pytest.raises(RefusedError):
            grid.client.trigger(DAG, conf)
    with pytest.raises(RefusedError):
        grid.as_user("emt").trigger(DAG, {"rollout": name, "reason": WHY})

    asked = grid.client.trigger(DAG, {"rollout": name, "reason": WHY})
    assert wait_for_run(grid.client, DAG, asked, 300) == "success"
    record = grid.rollout(name)
    kinds = [f.kind for f in record.facts]
    assert kinds.index(FactKind.TAG_REMOVED) < kinds.index(FactKind.TAGS_GONE) < kinds.index(FactKind.PREVIEW_REMOVED)
    assert grid.seen_tags(name) == holders(grid, name) == set()
    assert record.is_closed
    assert SiteState.AVAILABLE not in grid.states(name).values()
    told = bodies(grid, name)
    assert told
    assert all(WHY in text for text in told)

    # the run that waited for feedback ends, and the older preview, whose files were shared, is whole
    assert grid.ends(run) in ("failed", "success")
    grid.night()
    assert grid.seen_tags(kept) == announced
    assert announced <= holders(grid, kept)

    # twice is once
    before = grid.rollout(name).facts
    again = grid.client.trigger(DAG, {"rollout": name, "reason": WHY})
    wait_for_run(grid.client, DAG, again, 300)
    assert grid.rollout(name).facts == before
