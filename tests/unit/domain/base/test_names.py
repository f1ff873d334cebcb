"""Names that must not reach a shell, a filter, a header or a path."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.histories import a_site

from pps.domain.base.errors import InvalidNameError
from pps.domain.base.names import (
    NAME_JSON_PATTERN,
    addresses_of,
    checked_address,
    checked_addresses,
    checked_host,
    checked_name,
    checked_site_path,
    checked_subcluster,
    is_name,
)
from pps.domain.packages.tags import RunTimeEnvironmentTag
from pps.domain.sites.site import Platform

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


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("a@x.org", ("a@x.org",)),
        ("a@x.org,b@y.org", ("a@x.org", "b@y.org")),
        (" a@x.org ;  b@y.org; ", ("a@x.org", "b@y.org")),
        ("a@x.org b@y.org\tA@X.org", ("a@x.org", "b@y.org")),
    ],
)
def test_a_list_of_addresses_is_read_whatever_stands_between_them(value: str, addresses: tuple[str, ...]) -> None:
    assert addresses_of(checked_addresses(value, "contact")) == addresses


@pytest.mark.parametrize(
    "value", ["", " ;, ", "a@x.org, Bob", "a@x.org\nb@y.org", "Bob <a@x.org>", "a@x.org,\r\nBcc: b@y.org"]
)
def test_a_list_with_something_else_in_it_is_refused_whole(value: str) -> None:
    with pytest.raises(InvalidNameError):
        checked_addresses(value, "contact")


@pytest.mark.parametrize("value", ["ce_01.example.org", "_x.example.org", "CE.EXAMPLE.ORG", "192.0.2.1", "2001:db8::1"])
def test_hosts_as_sites_have_them_are_accepted(value: str) -> None:
    assert checked_host(value, "host") == value


@pytest.mark.parametrize(
    "value", ["ce.example.org", "long_queue", "ce:8443/cream-pbs-ops", "batch queue", "a@b/c+d~e-"]
)
def test_ids_of_subclusters_as_sites_publish_them_are_accepted(value: str) -> None:
    assert checked_subcluster(value, "SubCluster") == value


@pytest.mark.parametrize(
    "value",
    ["", ".", "..", "../x", "a/../b", "a/.", "/a", "a/", "a//b", ".a", "a/.b", " a", "a ", "a\n", "a\0", "a\tb",
     "-a", "a$(id)", "a'b", "a*", "a(b)", "a,o=grid", "a\\b", "é", "a" * 201],
)  # fmt: skip
def test_an_id_that_leads_out_of_its_folder_or_into_a_shell_is_refused(value: str) -> None:
    with pytest.raises(InvalidNameError):
        checked_subcluster(value, "SubCluster")


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


def test_previews_inside_the_production_client_are_refused() -> None:
    assert a_site(preview_root="/opt/glite-previews", production_root="/opt/glite")
    for inside in ("/opt/glite", "/opt/glite/pps"):
        with pytest.raises(InvalidNameError, match="inside its production_root"):
            a_site(preview_root=inside, production_root="/opt/glite")
