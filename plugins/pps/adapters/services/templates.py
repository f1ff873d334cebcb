"""Renders include/templates (port `Templates`).

People's text is data, never source, and no HTML of theirs is interpreted. Blocks of it on pages are Markdown (the
filter `theirs`, see `markdown.py`); elsewhere it is plain text, whose line breaks the templates keep (`white-space:
pre-wrap`, the filters `quoted` and `wrapped`). In every value control and direction characters are made visible.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from pps.domain.base.errors import ConfigurationError
from pps.domain.base.texts import clean_text, one_line

_WIDTH = 72


def when(moment: datetime, zone: str = "") -> str:
    """Name a moment in UTC, e.g. `Thu 4 Dec 2025, 14:05 UTC`, and in a second zone where one is given."""
    utc = _moment(moment, moment.astimezone(UTC), "UTC")
    if zone in ("", "UTC"):
        return utc
    try:
        return f"{utc} ({_moment(moment, moment.astimezone(ZoneInfo(zone)), zone)})"
    except (ZoneInfoNotFoundError, ValueError):  # a registry's time zone may be anything
        return utc


def _moment(moment: datetime, there: datetime, zone: str) -> str:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be shown")
    return f"{there:%a} {there.day} {there:%b %Y, %H:%M} {zone}"


def duration(span: timedelta) -> str:
    """Say how long in its two largest units, e.g. `2 weeks`, `3 days 4 hours`, `less than a minute`."""
    rest, words = int(span.total_seconds()), []
    for unit, size in (("week", 604800), ("day", 86400), ("hour", 3600), ("minute", 60)):
        number, rest = divmod(rest, size)
        if number:
            words.append(f"{number} {unit}{'s' if number > 1 else ''}")
    return " ".join(words[:2]) or "less than a minute"


def counted(number: int, word: str) -> str:
    """Say how many, e.g. `1 site`, `3 sites`, `no sites`."""
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def wrapped(text: str, indent: str = "", first: str | None = None) -> str:
    """Wrap plain text to 72 columns, paragraph by paragraph; `first` begins the first line."""
    lines: list[str] = []
    for paragraph in clean_text(str(text)).split("\n"):
        lead = indent if lines or first is None else first
        lines += textwrap.wrap(
            paragraph,
            _WIDTH,
            initial_indent=lead,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [lead.rstrip()]
    return "\n".join(lines)


def quoted(text: str) -> str:
    """Mark every line of somebody's text as theirs, so that it cannot pass for ours.

    Lines between ``` and ``` stay as they are: a command that is cut in two is another one.
    """
    lines, is_code = [], False
    for line in clean_text(str(text)).strip().split("\n"):
        is_fence = line.lstrip().startswith("```")
        lines.append(f"> {line}".rstrip() if is_code or is_fence else wrapped(line, indent="> ", first="> "))
        is_code = is_code is not is_fence
    return "\n".join(lines)


def fenced(text: str) -> str:
    """Somebody's text as a block of code in Markdown: nothing in it is markup, whatever it holds."""
    clean = clean_text(str(text)).strip("\n")
    longest = max((len(run) for run in re.findall("`+", clean)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{clean}\n{fence}"


def theirs(text: str) -> Markup:
    """Somebody's text as a block of a page: their Markdown, and nothing else of theirs."""
    from pps.adapters.services.markdown import as_html  # mails and the terminal need none

    return Markup(f'<div class="md">{as_html(str(text))}</div>')  # noqa: S704 (cleaned there)


def _cleaned(value: Any) -> Any:
    return clean_text(value) if isinstance(value, str) and not isinstance(value, Markup) else value


class JinjaTemplates:
    """The port `Templates` on Jinja2."""

    def __init__(self, folder: Path) -> None:
        """`folder`: with the templates; they may include and extend each other."""
        self._environment = ImmutableSandboxedEnvironment(
            loader=jinja2.FileSystemLoader(folder),
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=jinja2.StrictUndefined,
            finalize=_cleaned,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters |= {
            "when": when,
            "moment": lambda text: when(datetime.fromisoformat(text)),
            "duration": duration,
            "counted": counted,
            "wrapped": wrapped,
            "quoted": quoted,
            "fenced": fenced,
            "theirs": theirs,
            "one_line": lambda text, at_most=200: one_line(str(text), at_most),
        }

    def render(self, template: str, view: Mapping[str, Any]) -> str:
        """Render a template; `ConfigurationError` names the template and what is wrong with it."""
        try:
            return self._environment.get_template(template).render(view)
        except jinja2.TemplateNotFound as error:
            raise ConfigurationError(
                f"template {error.name}", "does not exist.", "Look in include/templates."
            ) from error
        except jinja2.TemplateError as error:
            raise ConfigurationError(f"template {template}", f"{error.message}.", "Correct the template.") from error
        except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
            raise ConfigurationError(
                f"template {template}", f"cannot show its data ({error}).", "Correct the template."
            ) from error
