"""What scenarios.yaml and pools.yaml declare: checked the same way, with every mistake at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer
from pydantic import BaseModel

from pps.cli import output
from pps.config.loader import problems_in, read_model

M = TypeVar("M", bound=BaseModel)


def check_declared(
    file: Path,
    what: str,
    model: type[M],
    look: Callable[[M], tuple[int, tuple[str, ...]]],
    *,
    as_json: bool,
    hint: str = "",
) -> None:
    """Check a file that need not exist, and say what is wrong with it; problems end with exit code 1.

    Args:
        what: what the file declares, in the plural.
        look: counts them, and says what contradicts what.
        hint: a sentence for somebody who has no such file.
    """
    count = 0
    problems: tuple[str, ...] = ()
    if file.exists() and not (problems := problems_in(file, model)):
        count, problems = look(read_model(file, model))
    if as_json:
        output.say_json({"file": file, what: count, "problems": problems})
    elif problems:
        output.say(*problems, f"{file}: {len(problems)} problem(s).")
    elif not file.exists():
        output.say(f"{file} does not exist: there are no {what}. {hint}".strip())
    else:
        output.say(f"{file}: {count} {what}, no problems.")
    if problems:
        raise typer.Exit(1)
