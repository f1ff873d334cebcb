"""A task's work ends with its time, wherever the alarm strikes."""

from __future__ import annotations

import ast
import asyncio
import signal
import socket
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout

import pps.orchestration
from pps.activities.ports.sites import SiteLimits, SshTarget
from pps.adapters.sites import ssh_asyncssh
from pps.orchestration import in_time
from pps.orchestration.in_time import awaited, until_heard


def strike() -> None:
    signal.raise_signal(signal.SIGALRM)


class Struck:
    """An object in whose end the alarm strikes, where Python only prints what is raised."""

    def __del__(self) -> None:
        strike()


async def in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(strike)
    await asyncio.Event().wait()


async def in_a_task_beside() -> None:
    async def beside() -> None:
        strike()

    kept = asyncio.create_task(beside())
    await asyncio.Event().wait()
    await kept


async def in_an_object_that_ends() -> None:
    Struck()  # ends at once
    await asyncio.Event().wait()


async def in_work_that_goes_on_whatever_comes() -> str:
    asyncio.get_running_loop().call_soon(strike)
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "done"


async def in_one_of_many_that_are_looked_at_in_the_end() -> None:
    async def one() -> None:
        strike()

    await asyncio.gather(one(), asyncio.Event().wait(), return_exceptions=True)


@pytest.mark.parametrize(
    "work",
    [
        in_a_callback,
        in_a_task_beside,
        in_an_object_that_ends,
        in_work_that_goes_on_whatever_comes,
        in_one_of_many_that_are_looked_at_in_the_end,
    ],
)
def test_work_ends_with_its_time_wherever_the_alarm_strikes(work) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AirflowTaskTimeout), timeout(3600):
        awaited(work())


def test_the_alarm_comes_again_where_a_loop_does_not_heed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def keeps_the_loop() -> None:
        strike()
        while True:
            signal.pause()

    monkeypatch.setattr(in_time, "AGAIN_S", 0.01)
    with pytest.raises(AirflowTaskTimeout), timeout(3600), until_heard():
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        awaited(keeps_the_loop())


def test_what_ends_although_its_time_was_over_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_time, "AGAIN_S", 3600)
    with pytest.raises(AirflowTaskTimeout, match="before its work was done"), timeout(0.01), until_heard():
        lost = False
        while not lost:
            try:
                signal.pause()
            except AirflowTaskTimeout:  # as a callback of C would lose it
                lost = True


def test_an_alarm_that_was_lost_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_time, "AGAIN_S", 0.01)
    lost = 0
    with pytest.raises(AirflowTaskTimeout), timeout(0.01), until_heard():
        while True:
            try:
                signal.pause()
            except AirflowTaskTimeout:
                lost += 1
                if lost == 3:
                    raise
    assert lost == 3


def test_an_alarm_in_asyncssh_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    # asyncio calls this itself when there is a connection, and only logs what it raises
    monkeypatch.setattr(ssh_asyncssh._Client, "connection_made", lambda self, connection: strike(), raising=False)
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        target = SshTarget("PIC", "127.0.0.1", silent.getsockname()[1], "ppsadm", key)

        async def talk() -> None:
            limits = SiteLimits(connect_s=3600, silence_s=3600, total_s=3600)
            async with ssh_asyncssh.AsyncsshShell().open(target, "true", (), limits):
                raise AssertionError("nobody answers")

        with pytest.raises(AirflowTaskTimeout), timeout(3600):
            awaited(talk())


def test_outside_of_a_task_there_is_no_alarm() -> None:
    async def work() -> int:
        return 1

    before = signal.getsignal(signal.SIGALRM)
    with until_heard():
        assert awaited(work()) == 1
    assert (signal.getitimer(signal.ITIMER_REAL), signal.getsignal(signal.SIGALRM)) == ((0.0, 0.0), before)


def test_no_step_runs_a_loop_of_its_own() -> None:
    room = Path(pps.orchestration.__file__).parent
    files = [*room.rglob("*.py"), *(room.parents[2] / "dags").glob("*.py")]
    assert len(files) > 20
    for file in files:
        calls = [ast.unparse(n.func) for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]
        if file.name != "in_time.py":
            assert not {"asyncio.run", "asyncio.Runner", "run_until_complete"} & set(calls), file.name
