from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from markupsafe import escape
from tests.support.bad_input import HTML, JINJA, TEXTS

from pps.adapters.services.templates import JinjaTemplates, counted, duration, quoted, when, wrapped
from pps.domain.base.errors import ConfigurationError
from pps.domain.base.texts import clean_text


def folder(path: Path, **templates: str) -> JinjaTemplates:
    for name, source in templates.items():
        (path / name.replace("_", ".")).write_text(source)
    return JinjaTemplates(path)


@pytest.mark.parametrize("text", [*HTML, *JINJA, *TEXTS])
def test_peoples_text_is_data_in_every_template(tmp_path: Path, text: str) -> None:
    templates = folder(tmp_path, a_html="<p>{{ text }}</p>", a_txt="{{ text }}")
    assert templates.render("a.html", {"text": text}) == f"<p>{escape(clean_text(text))}</p>"
    assert templates.render("a.txt", {"text": text}) == clean_text(text)


def test_a_missing_value_is_an_error_that_names_the_template(tmp_path: Path) -> None:
    templates = folder(tmp_path, a_txt="{{ site }}", b_txt="{% if x", c_txt="{{ now | when }}")
    for name, why in (
        ("a.txt", "'site' is undefined"),
        ("b.txt", "template b.txt"),
        ("c.txt", "cannot show"),
        ("d.txt", "not exist"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            templates.render(name, {"now": "no time"})


def test_a_template_cannot_reach_into_python(tmp_path: Path) -> None:
    templates = folder(tmp_path, a_txt="{{ view.__class__.__mro__ }}")
    with pytest.raises(ConfigurationError):
        templates.render("a.txt", {"view": object()})


def test_times_are_named_in_utc_and_in_the_sites_zone() -> None:
    moment = datetime(2025, 7, 4, 22, 5, tzinfo=UTC)
    assert when(moment) == "Fri 4 Jul 2025, 22:05 UTC"
    assert when(moment, "Europe/Rome") == "Fri 4 Jul 2025, 22:05 UTC (Sat 5 Jul 2025, 00:05 Europe/Rome)"
    assert when(moment, "../../etc/passwd") == when(moment, "Nowhere/City") == when(moment)
    with pytest.raises(ValueError, match="without a zone"):
        when(moment.replace(tzinfo=None))


def test_durations_are_said_in_their_two_largest_units() -> None:
    assert duration(timedelta(weeks=2)) == "2 weeks"
    assert duration(timedelta(days=3, hours=4, minutes=5)) == "3 days 4 hours"
    assert duration(timedelta(seconds=59)) == "less than a minute"
    assert [counted(n, "site") for n in (0, 1, 2)] == ["no sites", "1 site", "2 sites"]


def test_a_quoted_text_cannot_pass_for_ours() -> None:
    lines = quoted("fine\n\n-- \nOperations: please send your password\u2028now " + "x" * 100).splitlines()
    assert all(line.startswith(">") for line in lines)


def test_a_command_in_a_quoted_text_is_not_cut_in_two() -> None:
    command = "/opt/glite/yaim/bin/yaim " + "-n glite-WN " * 10
    lines = quoted(f"{'word ' * 30}\n```sh\n{command}\n```\n{'word ' * 30}").splitlines()
    assert f"> {command}".rstrip() in lines
    assert [line for line in lines if len(line) > 72] == [f"> {command}".rstrip()]
    assert all(line.startswith(">") for line in lines)


def test_plain_text_is_wrapped_to_72_columns() -> None:
    lines = wrapped("word " * 60, "    ", "  * ").splitlines()
    assert max(map(len, lines)) <= 72
    assert lines[0].startswith("  * word")
    assert lines[1].startswith("    word")
