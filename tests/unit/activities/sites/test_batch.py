"""Sites in turns: no site suffers by an error of ours."""

from __future__ import annotations

import asyncio

import pytest

from pps.activities.sites.batch import in_turns
from pps.domain.base.errors import ServiceError


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
        asyncio.run(in_turns(act, ["A", "B", "C", "D"], 2))
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

    assert asyncio.run(in_turns(act, range(10), 3)) == tuple(n * n for n in range(10))
    assert most == 3


def test_when_the_task_s_time_is_over_all_of_it_ends() -> None:
    ended: list[int] = []

    async def act(site: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(site)

    async def main() -> None:
        work = asyncio.create_task(in_turns(act, [1, 2, 3], 2))
        for _ in range(5):
            await asyncio.sleep(0)
        work.cancel()
        await work

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert sorted(ended) == [1, 2], "the third was never begun"
