"""Endpoints: what people may enter, whose host it is, and which version a service says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bad_input import HTML, JINJA, TEXTS
from tests.support.examples import SITES
from tests.support.pilot_runs import GOLD

from pps.domain.base.errors import InvalidNameError
from pps.domain.sites.endpoints import (
    Endpoint,
    PublishedService,
    host_of,
    is_version,
    parse_endpoint,
    reasons_against_host,
    same_version,
    version_in,
)
from pps.domain.sites.site import SshEndpoint


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://wms.pic.es:7443/a/b?c=d", "https://wms.pic.es:7443/a/b?c=d"),
        ("http://wms.pic.es", "http://wms.pic.es:80"),
        ("https://wms.pic.es/", "https://wms.pic.es:443"),
        ("ldap://bdii.pic.es:2170", "ldap://bdii.pic.es:2170"),
        ("ldaps://bdii.pic.es/", "ldaps://bdii.pic.es:636"),
        ("tcp://px.pic.es:7512", "tcp://px.pic.es:7512"),
        ("http://127.0.0.1:4711/", "http://127.0.0.1:4711"),
    ],
)
def test_plain_endpoints_are_read(text: str, url: str) -> None:
    assert parse_endpoint(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "", "wms.pic.es", "tcp://px.pic.es", "ftp://px.pic.es/", "file:///etc/passwd", "http:///x", "http://a b/", "http://h:0/",
        "http://h:99999/", "http://u:p@h/", "http://h/#x", "http://h/\r\nX: y", "http://h/ x", "http://[::1]/", "http://h/\u202e",
        "gopher://h:70/", "ldap://h/o=grid", "http://h/" + "x" * 400, "http://h/<script>", "http://%31/", "HTTP://", "http://h\x00/",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_next_step(text: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        parse_endpoint(text)
    assert caught.value.next_step


@pytest.mark.parametrize("text", [*HTML, *JINJA, *TEXTS])
def test_no_text_of_people_is_an_endpoint(text: str) -> None:
    with pytest.raises(InvalidNameError):
        parse_endpoint(f"http://wms.pic.es/{text} ")
    with pytest.raises(InvalidNameError):
        parse_endpoint("http://wms.pic.es/", text + ":")


@given(st.text())
def test_whatever_is_read_holds_no_blank_and_no_line_break(text: str) -> None:
    try:
        url = parse_endpoint(f"http://h/{text}").url
    except InvalidNameError:
        return
    assert url.isascii() and url.isprintable() and " " not in url


def test_the_place_of_the_version_must_fit_the_kind() -> None:
    for text, at in (("http://h/", "json:a.b"), ("https://h/", "header:Server"), ("tcp://h:1", "banner")):
        assert parse_endpoint(text, at).version_at == at
    for text, at in (("tcp://h:1", "json:a"), ("ldap://h", "banner"), ("http://h/", "banner"), ("http://h/", "json:")):
        with pytest.raises(InvalidNameError):
            parse_endpoint(text, at)


@pytest.mark.parametrize("host", ["wms.pic.example.org", "WMS.PIC.example.org", "new.pic.example.org"])
def test_a_host_of_the_site_or_of_its_domain_is_its_own(host: str) -> None:
    assert reasons_against_host(host, GOLD["PIC"]) == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "pic.example.org.evil.net", "10.0.0.1"])
def test_no_other_door_of_our_network_is_knocked_at(host: str) -> None:
    (reason,) = reasons_against_host(host, GOLD["PIC"])
    assert "no host of PIC" in reason


def test_an_address_has_no_domain_so_only_itself_is_known() -> None:
    site = replace(SITES["PIC"], ssh=SshEndpoint("127.0.0.1", 22, "x", "ssh-ed25519 AAAA"))
    assert reasons_against_host("127.0.0.1", site) == ()
    assert reasons_against_host("1.0.0.1", site)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("3.1.24", "3.1.24"),
        (" 3.1.24-2 ", "3.1.24-2"),
        ("glite-wms/3.1.24-2.el5 (Unix)", "3.1.24-2.el5"),
        ("220 ProFTPD 1.3.5a Server ready", "1.3.5a"),
        ("no version here", ""),
        ("", ""),
        ("x" * 10_000, ""),
    ],
)
def test_the_version_is_found_in_what_a_service_says(text: str, version: str) -> None:
    assert version_in(text) == version


def test_a_release_of_the_package_is_the_same_version() -> None:
    assert same_version("3.1.24", "3.1.24")
    assert same_version("3.1.24-2", "3.1.24")
    assert not same_version("3.1.240", "3.1.24")
    assert not same_version("", "")
    assert is_version("3.1.24") and not is_version("3.1;x") and not is_version("")


@given(st.text())
def test_what_sites_publish_never_breaks_the_comparison(text: str) -> None:
    assert isinstance(host_of(text), str)
    PublishedService("x", "t", "1", text, "OK").is_at(Endpoint("http", "h", 80))


def test_a_published_endpoint_is_compared_by_host_and_port() -> None:
    def shown(endpoint: str) -> bool:
        return PublishedService("x", "t", "1", endpoint, "OK").is_at(parse_endpoint("https://wms.pic.es:7443/x"))

    assert shown("https://WMS.pic.es:7443/other") and shown("httpg://wms.pic.es:7443") and shown("wms.pic.es:7443")
    assert not shown("https://wms.pic.es:7444/x") and not shown("https://xwms.pic.es:7443/x") and not shown("https://[")
