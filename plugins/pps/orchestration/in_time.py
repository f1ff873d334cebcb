"""The end of a task's time ends its work, wherever the work is at that moment.

Airflow's limit (policies.yaml, `task_limits`) is one alarm, whose handler raises. What it raises is lost where nobody
can hear it: asyncio only logs what a callback raises, and every packet that asyncssh reads is a callback; a task
beside the main one keeps it for whoever asks; Python prints what `__del__` raises. The work would go on for ever.

So within `awaited` the alarm cancels the work in good order, and then raises; within `until_heard` it comes again and
again, and work that ends although its time was over has failed.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowTaskTimeout

T = TypeVar("T")

#: How long it may take to end connections and children before the alarm comes again.
AGAIN_S = 30.0


def awaited(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` for tasks: at the end of their time the work is cancelled, whatever else it makes of that."""
    raises = signal.getsignal(signal.SIGALRM)
    if threading.current_thread() is not threading.main_thread() or not callable(raises):
        return asyncio.run(work)
    over = False

    async def main() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 (asyncio.run has made it)

        def strike(number: int, frame: FrameType | None) -> None:
            nonlocal over
            again, over = over, True
            loop.call_soon_threadsafe(task.cancel)  # not here: this may be inside of anything
            if again:
                raises(number, frame)  # it did not heed that, or has not come back to the loop

        signal.signal(signal.SIGALRM, strike)
        try:
            return await work
        finally:
            signal.signal(signal.SIGALRM, raises)

    try:
        return asyncio.run(main())
    finally:
        if over:
            raises(signal.SIGALRM, None)


@contextmanager
def until_heard() -> Iterator[None]:
    """Let the alarm of this task come again until it ends what is done in here; there is none outside of tasks."""
    left = signal.getitimer(signal.ITIMER_REAL)[0] if threading.current_thread() is threading.main_thread() else 0
    if not left:
        yield
        return
    ends = time.monotonic() + left
    signal.setitimer(signal.ITIMER_REAL, left, AGAIN_S)
    yield
    if time.monotonic() > ends:
        raise AirflowTaskTimeout("The task's time was over before its work was done.")
