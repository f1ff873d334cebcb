"""Faults that are planted into the code under test, and whether a family's machine finds them.

```python
fault = Fault("a mail is sent again", plant, says="mails were sent twice")
```

`plant` replaces functions for as long as the search takes; the product's files stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.support.machines import PathMachine
from tests.support.walked_paths import Walked


@dataclass(frozen=True)
class Fault:
    """One that somebody could make."""

    name: str
    """a sentence"""
    plant: Callable[[pytest.MonkeyPatch], None]
    says: str
    """regular expression: what the invariant that finds it says"""
    examples: int = 24
    """of the machine, at most, until it is found; most take one"""
    start: int = 1
    """seed: with the same one the same happens"""

    def __str__(self) -> str:
        return self.name


class _Found(BaseException):
    """Ends the search. hypothesis takes no notice of it: it would try the same again, in a world that has changed."""


def found(machine: type[PathMachine], world: Walked, examples: int, steps: int, start: int) -> str:
    """What the first invariant says that does not hold; "" if all hold in so many examples of so many steps.

    Args:
        start: the seed.
    """

    class Searching(machine):  # type: ignore[misc, valid-type]
        def teardown(self) -> None:
            if isinstance(error := sys.exception(), AssertionError):
                raise _Found from error
            try:
                super().teardown()
            except AssertionError as failed:
                raise _Found from failed

    Searching.world = world
    few = settings(max_examples=examples, stateful_step_count=steps, phases=[Phase.generate], database=None)
    try:
        run_state_machine_as_test(seed(start)(Searching), settings=few)
    except _Found as end:
        return str(end.__cause__)
    return ""
