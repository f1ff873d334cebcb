"""Names that must not reach a shell, a filter, a header or a path."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.domain.errors import InvalidNameError
from pps.domain.names import (
    NAME_JSON_PATTERN,
    checked_address,
    checked_host,
    checked_name,
    checked_site_path,
    is_name,
)
from pps.domain.sites import Platform
from pps.domain.tags import RunTimeEnvironmentTag

HOSTILE = [
    "1.0\n", "1.0;reboot", "$(id)", "`id`", "-rf", "--checkpoint-action=exec=sh", "../../etc/passwd", ".ssh", "a/b",
    "a b", "a\tb", "a\0b", "'; id; '", "\u202egnp.exe", "ａｄｍｉｎ", "é", "e\u0301", "", ".", "..", "A" * 10_000,
    "{{ 7*7 }}", "{% for i in range(10**9) %}x{% endfor %}", "%s%n", "*", "x)(uid=*", "a,b", "a;b", "a<b>", "a\\",
]  # fmt: skip
FINE = ["INFN-T1", "voms-clients", "3.1.23", "2.1.0~rc3-3", "1e5", "CON", "NULL", "vo.cta.in2p3.fr", "libstdc++6"]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_name_is_refused_wherever_a_name_is_asked_for(value: str) -> None:
    assert not is_name(value)
    with pytest.raises(InvalidNameError) as caught:
        checked_name(value, "site")
    assert len(str(caught.value)) < 400
    with pytest.raises(InvalidNameError):
        RunTimeEnvironmentTag("ops", value)
    with pytest.raises(InvalidNameError):
        RunTimeEnvironmentTag(value, "PPS-X-1")


@pytest.mark.parametrize("value", FINE)
def test_the_names_of_the_field_are_accepted(value: str) -> None:
    assert checked_name(value, "name") == value


@given(st.text())
def test_what_is_accepted_needs_no_quoting_anywhere(value: str) -> None:
    if is_name(value):
        assert re.fullmatch(r"[A-Za-z0-9._+~-]+", value)
        assert not value.startswith(("-", "."))


@given(st.text(alphabet="aA0.-_+~\n ", max_size=8))
def test_the_json_schema_pattern_says_the_same_as_the_python_one(value: str) -> None:
    assert bool(re.search(NAME_JSON_PATTERN, value)) is is_name(value)


@pytest.mark.parametrize(
    "value",
    [
        "x\r\nBcc: evil@x.org",
        "x\nBcc: evil@x.org",
        "a@b,c@d",
        '"a"@b\r\n',
        "<a@b>",
        "a@b -oQ/tmp",
        "x",
        "a@b\n",
        "\u2028",
    ],
)
def test_a_hostile_mail_address_is_refused(value: str) -> None:
    with pytest.raises(InvalidNameError):
        checked_address(value, "contact")


@pytest.mark.parametrize("value", ["-oProxyCommand=id", "a b", "a\n", "a;b", "", "é.org", "[::1]"])
def test_a_hostile_host_is_refused(value: str) -> None:
    with pytest.raises(InvalidNameError):
        checked_host(value, "host")


@pytest.mark.parametrize(
    "value", ["opt/pps", "/opt/../etc", "/opt/p ps", "/opt/$HOME", "/opt/é", "/opt\n", "", "/", "~/x"]
)
def test_a_hostile_path_at_a_site_is_refused(value: str) -> None:
    with pytest.raises(InvalidNameError):
        checked_site_path(value, "preview_root")


def test_a_platform_is_read_as_it_is_written() -> None:
    assert str(Platform.parse("scientific-linux5-x86_64")) == "scientific-linux5-x86_64"
    assert Platform.parse("scientific-linux5-x86_64").arch == "x86_64"
