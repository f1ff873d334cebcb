"""typer makes its tree of commands anew for each call, which is most of a call's time; here it makes one."""

from __future__ import annotations

from functools import cache

import typer.testing
from typer.main import get_command

typer.testing._get_command = cache(get_command)
