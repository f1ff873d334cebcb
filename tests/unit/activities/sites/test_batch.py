"""Sites in turns: no site suffers by an error of ours."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.jumping_clock import run_in_no_time

from pps.activities.sites import visits
from pps.activities.sites.batch import in_turns
from pps.domain.base.errors import ServiceError
from pps.domain.sites.places import Places


def test_after_an_error_of_ours_who_is_served_is_served_to_the_end_and_nobody_else_is_begun() -> None:
    begun, ended = [], []
    broken = asyncio.Event()

    async def act(site: str) -> str:
        begun.append(site)
        if site == "B":
            broken.set()
            raise ServiceError("the store of facts", "does not answer")
        await broken.wait()
        await asyncio.sleep(0)
        ended.append(site)
        return site

    with pytest.raises(ServiceError, match="does not answer"):
        asyncio.run(in_turns(act, ["A", "B", "C", "D"], Places(2)))
    assert (begun, ended) == (["A", "B"], ["A"])


def test_what_came_of_each_is_in_the_order_of_the_sites_and_no_more_are_served_than_may_be_at_once() -> None:
    under_way, most = 0, 0

    async def act(site: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(10 - site):
            await asyncio.sleep(0)
        under_way -= 1
        return site * site

    assert asyncio.run(in_turns(act, range(10), Places(3))) == tuple(n * n for n in range(10))
    assert most == 3


def test_when_the_task_s_time_is_over_all_of_it_ends() -> None:
    ended: list[int] = []

    async def act(site: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(site)

    async def main() -> None:
        work = asyncio.create_task(in_turns(act, [1, 2, 3], Places(2)))
        for _ in range(5):
            await asyncio.sleep(0)
        work.cancel()
        await work

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert sorted(ended) == [1, 2], "the third was never begun"


class Sites:
    """Of each site what happens there, in time that costs none."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.most = 0
        self.done: dict[str, float] = {}
        self.answers_in_s = 0.5

    async def visit(self, site: str) -> None:
        self.open.add(site)
        self.most = max(self.most, len(self.open))
        await getattr(self, site.split("-", maxsplit=1)[0])()
        self.open.remove(site)
        self.done[site] = asyncio.get_running_loop().time()

    async def good(self) -> None:
        for _ in range(12):  # 6 s, and 60,000 bytes in each half second
            await asyncio.sleep(0.5)
            visits.count(60_000)

    async def dead(self) -> None:
        await asyncio.sleep(20)

    async def slow(self) -> None:
        visits.count(300)
        visits.sending(True)
        for _ in range(600):
            await asyncio.sleep(1)
            visits.count(16_384)

    async def hangs(self) -> None:
        """In the middle."""
        await asyncio.sleep(0.5)
        visits.sending(True)
        visits.count(300_000)
        await asyncio.sleep(60)

    async def works(self) -> None:
        """Takes the payload, and then keeps itself busy."""
        await asyncio.sleep(self.answers_in_s)
        visits.count(1 << 20)
        await asyncio.sleep(6)

    def serve(self, names: list[str], places: Places) -> float:
        """When the last good one was done."""
        run_in_no_time(in_turns(self.visit, names, places))
        assert len(self.done) == len(names), "bad ones are served to their end, too"
        return max(at for name, at in self.done.items() if name.startswith("good"))


def test_sixty_bad_sites_of_three_hundred_delay_the_others_by_a_tenth_at_most_and_hold_no_more_than_agreed() -> None:
    good = [f"good-{n}" for n in range(240)]
    bad = [f"{('dead', 'hangs', 'slow')[n % 3]}-{n}" for n in range(60)]
    mixed = [name for n in range(60) for name in (*good[4 * n : 4 * n + 4], bad[n])]
    places = Places(at_once=20, waiting=80)

    alone = Sites().serve(good, places)
    beside = Sites()
    with_them = beside.serve(mixed, places)

    assert alone == 240 / 20 * 6
    assert with_them <= 1.1 * alone
    assert 20 < beside.most <= 100
    assert Sites().serve(mixed, Places(at_once=20)) > 2 * alone, "so it was before they gave their places away"


class Batches(Sites):
    """Batch by batch, two at a time, as in a rollout; whom a batch is ended without."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[str] = []
        self.cut: list[str] = []

    async def visit(self, site: str) -> None:
        try:
            await super().visit(site)
        except asyncio.CancelledError:
            self.cut.append(site)
            raise

    def serve_in_batches(self, names: list[str], places: Places) -> float:
        batches = [names[at : at + 20] for at in range(0, len(names), 20)]
        two_at_once = asyncio.Semaphore(2)

        async def one(batch: list[str]) -> None:
            async with two_at_once:
                await in_turns(self.visit, batch, places, self.left.append)

        async def all_of_them() -> None:
            await asyncio.gather(*map(one, batches))

        run_in_no_time(all_of_them())
        return max(at for name, at in self.done.items() if not name.startswith(("dead", "hangs", "slow")))


def test_sites_that_break_in_this_very_rollout_hold_up_the_batches_behind_them_by_a_tenth_at_most() -> None:
    good, kinds = [f"good-{n}" for n in range(240)], ("dead", "hangs", "slow")
    mixed = [name for n in range(60) for name in (*good[4 * n : 4 * n + 4], f"{kinds[n % 3]}-{n}")]
    places = Places(at_once=20, waiting=80, patience=0.05)

    alone, beside = Batches().serve_in_batches(good, places), Batches()
    # 15 batches in 8 turns instead of 12 in 6: what more sites cost as such
    assert beside.serve_in_batches(mixed, places) <= 1.1 * alone * 8 / 6

    bad = {name for name in mixed if not name.startswith("good")}
    assert set(beside.left) == set(beside.cut) == bad, "each is told of, and nothing of it goes on"
    patient = Batches()
    assert patient.serve_in_batches(mixed, Places(at_once=20, waiting=80)) > 10 * alone, "so it was before"
    assert not patient.left


@pytest.mark.parametrize("patience", [None, 0.05])
def test_where_most_keep_us_waiting_nobody_is_left(patience: float | None) -> None:
    """We are the cause then, or a network."""
    sites, names = Batches(), [*(f"good-{n}" for n in range(10)), *(f"hangs-{n}" for n in range(10))]
    run_in_no_time(in_turns(sites.visit, names, Places(20, 80, patience=patience), sites.left.append))
    assert not sites.left and len(sites.done) == 20


def test_one_that_works_by_itself_is_left_when_it_takes_three_times_what_others_need_and_not_before() -> None:
    def left(s: float) -> list[str]:
        sites = Batches()

        async def visit(name: str) -> None:
            visits.count(1 << 20)
            await asyncio.sleep(s if name == "last" else 6)

        names = [*(f"site-{n}" for n in range(19)), "last"]
        run_in_no_time(in_turns(visit, names, Places(20, 80, patience=0.05), sites.left.append))
        return sites.left

    assert (left(17), left(600)) == ([], ["last"])


def test_an_error_of_ours_while_a_site_is_left_is_raised() -> None:
    def store_is_away(site: str) -> None:
        raise ServiceError("the store of facts", "does not answer")

    sites, names = Batches(), [*(f"good-{n}" for n in range(3)), "hangs-1"]
    with pytest.raises(ServiceError, match="does not answer"):
        run_in_no_time(in_turns(sites.visit, names, Places(20, 80, patience=0.05), store_is_away))


def test_good_sites_hold_their_places_as_long_as_anything_moves() -> None:
    sites = Sites()
    sites.serve([f"good-{n}" for n in range(40)], Places(at_once=4, waiting=80))
    assert sites.most == 4


@pytest.mark.parametrize("answers_in_s", [0.5, 15])
def test_where_all_sites_are_as_slow_as_we_are_they_are_not_all_begun_at_once(answers_in_s: float) -> None:
    sites = Sites()
    sites.answers_in_s = answers_in_s
    run_in_no_time(in_turns(sites.visit, [f"works-{n}" for n in range(200)], Places(at_once=10, waiting=80)))
    assert sites.most <= 2 * 10
