"""Everything of ours that talks to the world, as it fails at the call that a test has chosen.

```python
weather.strikes(Trouble("killed after", 3))   # the third call of the step is done, and the process dies
```

A call is a transaction of the record, or one of an adapter: tracker, information system, folders, packages. Real are
the record (on a PostgreSQL) and whatever a test hands over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from tests.support.simulated_sites import KilledError

from pps.activities.ports.people import Mail
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import ServiceError
from pps.domain.record.facts import Fact

T = TypeVar("T")
#: `overtaken`: at this moment a second attempt of the same step begins, and comes to its end, before this one goes on.
#: `store away`: from this call on the record does not answer, until the step has failed.
KINDS = ("killed before", "killed after", "away", "store away", "overtaken")


@dataclass(frozen=True)
class Trouble:
    """What goes wrong in a step, and at which of its calls."""

    kind: str
    call: int = 1


CALM = Trouble("", 0)


class Weather:
    """Counts the calls of a step."""

    def __init__(self) -> None:
        self.trouble, self.calls, self.store_is_away = CALM, 0, False
        self._overtaken_by: Callable[[], object] | None = None

    def strikes(self, trouble: Trouble, again: Callable[[], object]) -> None:
        """From now on; `again` is the step itself, for a second attempt beside it."""
        self.trouble, self.calls, self._overtaken_by = trouble, 0, again

    def clears(self) -> None:
        """Everything answers."""
        self.trouble, self.store_is_away, self._overtaken_by = CALM, False, None

    def call(self, work: Callable[[], T], *, of_store: bool = False) -> T:
        """One call, done or not."""
        self.calls += 1
        if self.calls != self.trouble.call:
            return work()
        match self.trouble.kind:
            case "killed before":
                raise KilledError
            case "killed after":
                work()
                raise KilledError
            case "away" if not of_store:
                raise ServiceError("a service", "does not answer.", "Try again later.")
            case "away" | "store away":
                self.store_is_away = True
            case "overtaken":
                again, self._overtaken_by = self._overtaken_by, None
                if again is not None:
                    with ThreadPoolExecutor(1) as other:  # another process, to what it touches
                        other.submit(again).result()
        return work()


class FrailStore(FactStore):
    """The record."""

    weather: Weather

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        """See the port."""
        if not facts and not mails:
            return ()
        return self.weather.call(lambda: super(FrailStore, self).record(*facts, mails=mails), of_store=True)

    def open(self, path: str, patch: int, opening: Fact, run: str) -> bool:
        """See the port."""
        return self.weather.call(lambda: super(FrailStore, self).open(path, patch, opening, run), of_store=True)

    def close(self, closing: Fact) -> None:
        """See the port."""
        self.weather.call(lambda: super(FrailStore, self).close(closing), of_store=True)

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        self._must_answer()
        with super()._transaction() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        self._must_answer()
        with super()._reading() as connection:
            yield connection

    def _must_answer(self) -> None:
        if self.weather.store_is_away:
            raise ServiceError("the store", "does not answer.", "Try again later.")


class Frail:
    """An adapter; what it has beside methods is as it was."""

    def __init__(self, real: Any, weather: Weather) -> None:
        self._real, self._weather = real, weather

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._weather.call(lambda: found(*args, **kwargs))
