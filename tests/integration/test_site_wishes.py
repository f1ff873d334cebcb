"""What sites wish is honoured wherever we write at them: nothing is brought or announced; what must go, goes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.test_nights import another_try, night, night_at, out, tree_at
from tests.support.desks import at_desk, at_office
from tests.support.front import PATCH
from tests.support.previews import SMALL
from tests.support.withdrawals import REASON, START, World, world  # noqa: F401

from pps.activities.clients import gates, opening
from pps.activities.clients.nightly import plan_the_night
from pps.activities.sites import wishes
from pps.activities.sites.wishes import Speaker
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.working_days import WEEKDAYS
from pps.domain.clients.batches import BatchLimits, GateVerdict
from pps.domain.packages.patch import Patch
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import SiteState
from pps.domain.record.wishes import RECORD
from pps.domain.sites.site import Site
from pps.orchestration import labels
from pps.orchestration.steps import distribution

pytestmark = [pytest.mark.needs("shells"), pytest.mark.usefixtures("usual_umask"), pytest.mark.sd("4.1.1", step=2)]

BY = Speaker("carla", {"role:PPS Coordinator"})
LIMITS = BatchLimits(2, 3, 1.0, 0.3, 1)
WEEKEND, NIGHTS = ("sat", "sun"), ("22:00", "06:00")
MOVED = "We move our machines to another hall."
AT_22 = START.replace(hour=22)


def says(world: World, wish: wishes.Wish) -> None:
    wishes.say(at_office(world.facts, clock=lambda: world.clock, actor="user carla"), wish, BY.user)


def opens_at_night(world: World, *sites: str) -> None:
    """Each night from 22:00 to 06:00; it is noon."""
    for site in sites:
        says(world, wishes.window(world.sites[site], WEEKDAYS, *NIGHTS, BY))


def in_windows(world: World) -> list[str]:
    """The sites that the hourly look plans."""
    planned = asyncio.run(plan_the_night(night_at(world), windows_only=True))
    return [site for p in planned for site in world.record(p["rollout"]).batch(p["batch"])]


def asked(world: World) -> set[str]:
    """The sites that anything was asked of since."""
    sites = {site for site, _ in world.shell.runs}
    world.shell.runs.clear()
    return sites


def ended(world: World, name: str) -> None:
    """Its own distribution has ended: nights keep it now."""
    due = world.clock + timedelta(weeks=2)
    world.facts.record(world.fact(name, FactKind.FEEDBACK_DATE_AGREED, due=due.isoformat()))


def brought(world: World, name: str, sites: str) -> None:
    """Distribution, probes and tags, as each batch has them."""
    asyncio.run(world.distribute(name, sites))
    for site in sites:
        if world.record(name).progress(site).state is SiteState.INSTALLED:
            which = str(len(world.record(name).facts))
            world.facts.record(replace(world.fact(name, FactKind.PROBES_PASSED, site), occasion=which))
    world.publish(name, sites)


def plan(world: World, name: str, patch: Patch = PATCH) -> dict[str, list[str]]:
    desk = at_desk(world.record(name), world.facts, clock=lambda: world.clock, patch=patch)
    opening.record_plan(desk, world.sites.values(), LIMITS)
    return dict(desk.rollout.need(FactKind.PLAN_AGREED, "").payload["batches"])


def not_planned(world: World) -> str:
    """A rollout without a plan."""
    opened = {
        "path": "bc-client", "patch": 4711, "title": "Clients", "metapackage": "glite-WN", "version": "3.1.23",
        "platforms": ["debian12-amd64"], "tag": "VO-ops-PPS-GLITE-WN-3.1.23", "tag_vo": "ops", "run": "r",
    }  # fmt: skip
    name = world.facts.next_name("bc-client", 4711)
    world.facts.open("bc-client", 4711, world.fact(name, FactKind.ROLLOUT_OPENED, **opened), "r")
    return name


# --- windows


def test_a_site_outside_its_window_is_not_asked_and_gets_the_preview_when_it_opens(world: World) -> None:
    name = world.opens(SMALL, "1.0")
    opens_at_night(world, "B")

    brought(world, name, "ABC")

    assert asked(world) == {"A", "C"}
    (a, b, c) = world.record(name).all_progress()
    assert (a.state, b.state, c.state) == (SiteState.TAGGED, SiteState.PLANNED, SiteState.TAGGED)
    assert b.reason == (
        "B was outside its window (every day, 22:00 to 06:00 of the next day, UTC) on Mon 2 Mar 2026, 12:00; "
        "its window opens on Mon 2 Mar 2026, 22:00."
    )
    assert gates.budget_reasons(world.record(name), replace(LIMITS, failures_always_allowed=0)) == ()
    ended(world, name)
    world.clock = AT_22 - timedelta(minutes=1)
    assert in_windows(world) == []
    world.clock = AT_22
    assert in_windows(world) == ["B"]
    brought(world, name, "B")
    assert world.record(name).progress("B").state is SiteState.TAGGED
    assert (world.at_sites(name), world.tags_at(name)) == ("ABC", "ABC")


def test_a_night_says_once_that_a_window_is_closed_and_the_look_of_the_hour_takes_the_site_by_day(world: World) -> None:
    name = world.out(SMALL, "1.0", sites="AC")  # B is new
    ended(world, name)
    says(world, wishes.window(world.sites["B"], ["wed"], "08:00", "18:00", BY))
    world.facts.record(world.fact(name, FactKind.SITE_FAILED, "C", reason="C: no room.", step="distribute"))
    put_off: list[int] = []
    for day in (3, 4):
        world.clock = datetime(2026, 3, day, 2, tzinfo=UTC)
        assert [batch["rollout"] for batch in night(world)] == [name]
        assert world.record(name).batch(world.of(name, FactKind.NIGHT_PLANNED)[-1].occasion) == ("C",)
        put_off.append(len(world.of(name, FactKind.SITE_PUT_OFF)))
    assert put_off == [1, 1]
    for hour, sites in ((7, []), (8, ["B"]), (17, ["B"])):
        world.clock = datetime(2026, 3, 4, hour, 20, tzinfo=UTC)
        assert in_windows(world) == sites, "and C has no window: the night has it"
    world.facts.record(world.fact(name, FactKind.SITE_FAILED, "B", reason="B: no room.", step="distribute"))
    assert in_windows(world) == [], "once for each window, as once a night elsewhere"
    world.clock = datetime(2026, 3, 11, 8, tzinfo=UTC)
    assert in_windows(world) == ["B"]


def test_a_preview_whose_window_closes_before_its_tag_is_announced_in_the_next_one(world: World) -> None:
    name = world.opens(SMALL, "1.0")
    says(world, wishes.window(world.sites["A"], WEEKDAYS, "11:00", "13:00", BY))
    asyncio.run(world.distribute(name, "ABC"))
    world.facts.record(*(world.fact(name, FactKind.PROBES_PASSED, site) for site in "ABC"))
    world.clock = START.replace(hour=13)

    world.publish(name, "ABC")

    assert world.tags_at(name) == "BC"
    assert world.record(name).progress("A").state is SiteState.TESTED
    ended(world, name)
    world.facts.record(*(world.fact(name, FactKind.TAG_SEEN, site) for site in "BC"))
    assert night(world) == []
    world.clock = START.replace(hour=11) + timedelta(days=1)
    assert in_windows(world) == ["A"]
    brought(world, name, "A")
    assert world.tags_at(name) == "ABC"


def test_the_canaries_are_sites_whose_windows_are_open_and_without_any_the_plan_waits(world: World) -> None:
    opens_at_night(world, "A", "B")
    name = not_planned(world)
    assert plan(world, name) == {"canary": ["C"], "fleet-1": ["A", "B"]}


def test_where_no_window_is_open_nothing_is_planned_until_one_is(world: World) -> None:
    opens_at_night(world, *"ABC")
    name = not_planned(world)
    with pytest.raises(NotYetAllowedError, match=r"No site may be written at now.*opens on Mon 2 Mar 2026, 22:00"):
        plan(world, name)
    assert not world.record(name).has(FactKind.PLAN_AGREED)
    world.clock = AT_22
    assert len(plan(world, name)["canary"]) == 2


def test_a_gate_does_not_wait_for_a_canary_that_was_put_off_nor_opens_for_such_ones_alone(world: World) -> None:
    name = world.opens(SMALL, "1.0")  # its canary is A
    opens_at_night(world, "A")
    brought(world, name, "A")
    verdict, why = gates.judged(world.record(name), LIMITS)
    assert verdict is GateVerdict.INCONCLUSIVE
    assert "No canary could be tried." in why and "A was outside its window" in why[1]

    planned = replace(world.fact(name, FactKind.PLAN_AGREED, batches={"canary": ["A", "B"]}), occasion="again")
    world.facts.record(planned)
    brought(world, name, "AB")
    assert gates.judged(world.record(name), LIMITS)[0] is GateVerdict.HEALTHY


def test_the_task_of_a_batch_is_called_by_what_became_of_its_sites(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = world.opens(SMALL, "1.0")
    opens_at_night(world, "B")
    context: dict[str, str] = {}
    monkeypatch.setattr(labels, "get_current_context", lambda: context)
    counts = distribution.bring_to_sites(name, "fleet-1")
    assert counts == {"full": 1, "put off": 1}
    assert context["label"] == "fleet-1: 1 reached, 1 put off"


def test_nobody_tries_a_site_again_outside_its_window(world: World) -> None:
    name = out(world, SMALL)
    opens_at_night(world, "B")
    world.facts.record(
        *(world.fact(name, FactKind.SITE_FAILED, s, reason=f"{s}: no room.", step="distribute") for s in "BC")
    )
    with pytest.raises(RefusedError, match="its window opens on Mon 2 Mar 2026, 22:00"):
        another_try(world, name, "B")
    another_try(world, name)
    assert world.record(name).batch("retry-1") == ("C",)


# --- versions, and none at all


def test_a_version_that_a_site_does_not_want_is_not_planned_there_and_every_other_one_is(world: World) -> None:
    says(world, wishes.pin(world.sites["B"], "glite-WN", "3.1.23", "It breaks our batch system", BY))
    name = not_planned(world)
    assert "B" not in [site for batch in plan(world, name).values() for site in batch]
    left_out = world.record(name).progress("B")
    assert left_out.state is SiteState.LEFT_OUT
    assert left_out.reason == "B does not want glite-WN 3.1.23: It breaks our batch system."
    other = {**world.record(name).opened, "version": "3.1.24", "patch": 4712, "run": "s"}
    world.facts.open("bc-client", 4712, world.fact("bc-client-4712-1", FactKind.ROLLOUT_OPENED, **other), "s")
    planned = plan(world, "bc-client-4712-1", replace(PATCH, number=4712, version="3.1.24"))
    assert "B" in [site for batch in planned.values() for site in batch]


def test_who_opts_out_after_the_plan_gets_nothing_and_gets_it_when_it_is_taken_back(world: World) -> None:
    name = world.opens(SMALL, "1.0")
    says(world, wishes.opt_out(world.sites["B"], MOVED, BY))

    brought(world, name, "ABC")

    assert asked(world) == {"A", "C"}
    b = world.record(name).progress("B")
    assert (b.state, b.reason) == (SiteState.LEFT_OUT, f"B takes no previews: {MOVED}")
    ended(world, name)
    world.facts.record(*(world.fact(name, FactKind.TAG_SEEN, site) for site in "AC"))
    assert night(world) == [] and "B" not in asked(world)
    says(world, wishes.opt_in(world.sites["B"], BY))
    assert night(world)
    brought(world, name, "B")
    assert world.tags_at(name) == "ABC"


def test_what_lies_at_a_site_that_opts_out_is_left_until_it_is_withdrawn_whatever_its_window(world: World) -> None:
    name = out(world, SMALL)
    opens_at_night(world, *"ABC")
    says(world, wishes.opt_out(world.sites["B"], MOVED, BY))
    newer = world.opens({**SMALL, "bin/tool": b"3"}, "1.1", patch=4712)
    brought(world, newer, "B")
    assert (world.at_sites(newer), world.at_sites(name), world.tags_at(name)) == ("", "ABC", "ABC")
    assert world.record(name).progress("B").state is SiteState.AVAILABLE, "jobs can be sent there still"

    world.withdraws(name, REASON)

    assert (world.at_sites(name), world.tags_at(name)) == ("", ""), "nobody waits for ten o'clock"


def test_a_site_that_opts_out_and_removes_the_preview_itself_loses_its_tag_and_gets_no_other(world: World) -> None:
    name = out(world, SMALL)
    says(world, wishes.opt_out(world.sites["B"], MOVED, BY))
    shutil.rmtree(tree_at(world, name, "B"))

    assert night(world) == []

    assert world.tags_at(name) == "AC", "no job is to fail there"
    assert world.record(name).progress("B").state is SiteState.LOST
    asked(world)
    assert night(world) == [] and "B" not in asked(world)


def test_who_opts_out_between_installation_and_tag_is_left_out_and_can_come_back(world: World) -> None:
    name = world.opens(SMALL, "1.0")
    asyncio.run(world.distribute(name, "ABC"))
    world.facts.record(*(world.fact(name, FactKind.PROBES_PASSED, site) for site in "ABC"))
    says(world, wishes.opt_out(world.sites["B"], MOVED, BY))
    world.publish(name, "ABC")
    b = world.record(name).progress("B")
    assert (b.state, b.reason.endswith("What lies there is left as it is.")) == (SiteState.LEFT_OUT, True)
    assert (world.at_sites(name), world.tags_at(name)) == ("ABC", "AC")
    assert "B" in world.record(name).reached_sites, "a withdrawal goes there"
    ended(world, name)
    says(world, wishes.opt_in(world.sites["B"], BY))
    world.clock += timedelta(days=1)
    assert night(world)
    brought(world, name, "B")
    assert world.tags_at(name) == "ABC"


# --- at their own pace (SD 4.1.2)


@pytest.mark.sd("4.1.2")
def test_a_silver_partner_is_served_once_and_gets_its_tag_when_its_people_have_acted(world: World) -> None:
    name = world.opens(SMALL, "1.0")
    opened = {**world.record(name).opened, "path": "non-bc-client", "run": "n", "patch": 4712}
    silver = "non-bc-client-4712-1"
    world.facts.open("non-bc-client", 4712, world.fact(silver, FactKind.ROLLOUT_OPENED, **opened), "n")
    built, planned = (world.of(name, kind)[0] for kind in (FactKind.TARBALL_BUILT, FactKind.PLAN_AGREED))
    world.facts.record(replace(built, rollout=silver), replace(planned, rollout=silver))
    opens_at_night(world, "B")
    asyncio.run(world.distribute(silver, "AB"))
    b = world.record(silver).progress("B")
    assert (b.state, b.reason.endswith("On this path each site is served once.")) == (SiteState.LEFT_OUT, True)

    opens_at_night(world, "A")
    world.facts.record(
        world.fact(silver, FactKind.SITE_CONFIGURED, "A"), world.fact(silver, FactKind.PROBES_PASSED, "A")
    )
    world.publish(silver, "A")
    assert world.tags_at(silver) == "A"


# --- what is said


def test_a_wish_is_on_record_once_and_what_does_not_stand_cannot_be_lifted(world: World) -> None:
    site = world.sites["A"]
    for _ in range(2):
        says(world, wishes.opt_out(site, MOVED, BY))
    says(world, wishes.opt_in(site, BY))
    says(world, wishes.opt_in(site, BY))
    says(world, wishes.opt_out(site, MOVED, BY))
    kinds = [f.kind for f in world.facts.rollout(RECORD).facts]
    assert kinds == [
        FactKind.ROLLOUT_OPENED,
        FactKind.SITE_OPTED_OUT,
        FactKind.SITE_OPTED_IN,
        FactKind.SITE_OPTED_OUT,
    ]
    assert RECORD not in [row.name for row in world.facts.rollouts()], "it is no rollout"
    for nothing in (wishes.no_window(site, BY), wishes.no_pin(site, "glite-WN", "", BY)):
        with pytest.raises(RefusedError, match="nothing to lift"):
            says(world, nothing)


@pytest.mark.parametrize(
    ("mine", "may"),
    [
        ({"user:ana", "role:Site Administrator"}, True),
        ({"user:bob", "role:Site Administrator"}, False),
        ({"user:rita", "role:Regional Manager"}, False),
        ({"user:carla", "role:PPS Coordinator"}, True),
        ({"user:root", "role:Admin"}, False),
    ],
)
def test_only_its_own_administrators_and_the_coordinator_say_what_a_site_wishes(
    world: World, mine: Sequence[str], may: bool
) -> None:
    site: Site = replace(world.sites["A"], administrators=("ana",))
    by = Speaker("x", frozenset(mine))
    for wish in (
        lambda: wishes.window(site, ["mon"], "08:00", "18:00", by),
        lambda: wishes.less_window(site, ["mon"], "08:00", "18:00", by),
        lambda: wishes.no_window(site, by),
        lambda: wishes.pin(site, "glite-WN", "", MOVED, by),
        lambda: wishes.no_pin(site, "glite-WN", "", by),
        lambda: wishes.opt_out(site, MOVED, by),
        lambda: wishes.opt_in(site, by),
    ):
        if may:
            wish()
        else:
            with pytest.raises(RefusedError, match="Only the administrators of A and the PPS Coordinator"):
                wish()
