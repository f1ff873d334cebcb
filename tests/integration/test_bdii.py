"""The LDAP adapter against a real slapd with the GLUE schemas, and against servers that behave badly."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest
from tests.support.slapd import GlueSlapd, slapd  # noqa: F401
from tests.support.slow_servers import tcp_server

from pps.adapters.services.bdii import Bdii
from pps.domain.base.errors import ServiceError

HOSTILE = [
    "*", "x)(uid=*", "*)(|(objectClass=*)", "\\2a", "a\0b", "(", "é", "cern,o=grid", "a+b=c", "#0", " lead", "trail ",
    "a\\", 'a"b', "a;b", "a<b>", "x\nGlueHostApplicationSoftwareRunTimeEnvironment: VO-all-root", "",
    "\u202e", "A" * 9999,
]  # fmt: skip


@pytest.mark.needs("slapd")
def test_tags_are_found_wherever_a_bdii_puts_its_sites(slapd: GlueSlapd) -> None:
    slapd.add_subcluster(slapd.add_folder("resource"), "ce.resource.org", ["VO-ops-A"])
    slapd.add_subcluster(slapd.add_folder("SITE"), "ce.site.org", ["VO-ops-A", "VO-ops-B"])
    slapd.add_subcluster(slapd.add_folder("local", "TOP"), "ce.top.org", [])
    found = Bdii(slapd.url).tags_of(["ce.resource.org", "ce.site.org", "ce.top.org", "ce.unknown.org"])
    assert found == {
        "ce.resource.org": {"VO-ops-A"},
        "ce.site.org": {"VO-ops-A", "VO-ops-B"},
        "ce.top.org": frozenset(),
    }


@pytest.mark.needs("slapd")
def test_names_match_without_case_and_come_back_as_asked(slapd: GlueSlapd) -> None:
    slapd.add_subcluster(slapd.add_folder("SITE"), "CE.Site.ORG", ["VO-ops-A"])
    assert Bdii(slapd.url).tags_of(["ce.SITE.org", "ce.site.org"]) == {
        "ce.SITE.org": {"VO-ops-A"},
        "ce.site.org": {"VO-ops-A"},
    }


@pytest.mark.needs("slapd")
@pytest.mark.parametrize("name", ["long_queue", "ce.site.org:8443/cream-pbs-ops", "Batch  queue", "a+b~c@d"])
def test_an_id_that_is_no_host_name_is_found_and_its_tags_without_their_blanks(slapd: GlueSlapd, name: str) -> None:
    slapd.add_subcluster(slapd.add_folder("SITE"), name, ["VO-ops-A ", "  VO-ops-B\t", "two words"])
    found = Bdii(slapd.url).tags_of([name, name.replace("  ", " ").lower()])
    assert set(found) == {name, name.replace("  ", " ").lower()}
    assert set(found.values()) == {frozenset({"VO-ops-A", "VO-ops-B"})}


@pytest.mark.needs("slapd")
def test_a_subcluster_that_is_published_twice_shows_the_tags_of_both(slapd: GlueSlapd) -> None:
    slapd.add_subcluster(slapd.add_folder("ONE"), "ce.site.org", ["VO-ops-A"])
    slapd.add_subcluster(slapd.add_folder("TWO"), "ce.site.org", ["VO-ops-B"])
    assert Bdii(slapd.url).tags_of(["ce.site.org"]) == {"ce.site.org": {"VO-ops-A", "VO-ops-B"}}


@pytest.mark.needs("slapd")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_never_becomes_part_of_the_filter(slapd: GlueSlapd, name: str) -> None:
    slapd.add_subcluster(slapd.add_folder("SITE"), "ce.site.org", ["VO-ops-A"])
    assert Bdii(slapd.url).tags_of([name]) == {}
    assert Bdii(slapd.url).tags_of([name, "ce.site.org"]) == {"ce.site.org": {"VO-ops-A"}}


@pytest.mark.needs("slapd")
def test_three_hundred_sites_need_a_few_searches_only(slapd: GlueSlapd) -> None:
    folder = slapd.add_folder("local")
    names = [f"ce{n}.example.org" for n in range(300)]
    for name in names:
        slapd.add_subcluster(folder, name, [f"VO-ops-{name}"])
    assert Bdii(slapd.url).tags_of(names) == {name: {f"VO-ops-{name}"} for name in names}


@pytest.mark.needs("slapd")
def test_a_base_that_is_not_served_is_an_error_not_an_empty_answer(slapd: GlueSlapd) -> None:
    with pytest.raises(ServiceError, match="publishes nothing under the base"):
        Bdii(slapd.url, base="o=elsewhere").tags_of(["ce.site.org"])


@pytest.mark.needs("slapd")
def test_nothing_is_asked_for_nothing(slapd: GlueSlapd) -> None:
    slapd.stop()
    assert Bdii(slapd.url).tags_of([]) == {}
    with pytest.raises(ServiceError):
        Bdii(slapd.url, connect_s=1).tags_of(["ce.site.org"])


@pytest.mark.parametrize(
    "url",
    ["ldap://127.0.0.1:1", "ldap://no.such.host.invalid:2170", "ldap://127.0.0.1:99999", "ldap://[::1", "http://x", ""],
)
def test_an_address_without_server_is_an_error_that_names_it(url: str) -> None:
    with pytest.raises(ServiceError) as caught:
        Bdii(url, connect_s=1, total_s=2).tags_of(["ce.site.org"])
    assert caught.value.next_step


@pytest.mark.needs("slapd")
def test_services_are_found_by_the_host_of_their_endpoint(slapd: GlueSlapd) -> None:
    site = slapd.add_folder("local", "SITE")
    slapd.add_service(site, "wms_1", "org.glite.wms", "3.1.24", "https://WMS.site.org:7443/x")
    slapd.add_service(site, "px_1", "myproxy", "", "wms.site.org:7512")
    slapd.add_service(site, "evil", "org.glite.wms", "9.9", "https://wms.site.org.evil.net:7443/")
    found = Bdii(slapd.url).services_of(["wms.site.org", "ce.site.org"])
    assert found["ce.site.org"] == ()
    assert {(s.unique_id, s.type, s.version, s.endpoint, s.status) for s in found["wms.site.org"]} == {
        ("wms_1", "org.glite.wms", "3.1.24", "https://WMS.site.org:7443/x", "OK"),
        ("px_1", "myproxy", "", "wms.site.org:7512", "OK"),
    }
    assert set(Bdii(slapd.url).services_of(["wms.SITE.org"])) == {"wms.SITE.org"}


@pytest.mark.needs("slapd")
@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_a_host_never_becomes_part_of_the_filter(slapd: GlueSlapd, name: str) -> None:
    slapd.add_service(slapd.add_folder("SITE"), "wms_1", "org.glite.wms", "3.1.24", "https://wms.site.org:7443/x")
    assert Bdii(slapd.url).services_of([name]) == {name: ()}


@pytest.mark.needs("slapd")
def test_no_services_are_asked_for_no_host(slapd: GlueSlapd) -> None:
    slapd.stop()
    assert Bdii(slapd.url).services_of([]) == {} == Bdii(slapd.url).services_of([""])
    with pytest.raises(ServiceError):
        Bdii(slapd.url, connect_s=1).services_of(["wms.site.org"])


def _silent(connection: socket.socket, end: threading.Event) -> None:
    end.wait()


def _dripping(connection: socket.socket, end: threading.Event) -> None:
    connection.sendall(b"\x30\x84\x00\xff\xff\xff")
    for _ in range(100):
        if end.wait(0.1):
            break
        connection.sendall(b"\x00")


def _nonsense(connection: socket.socket, end: threading.Event) -> None:
    connection.recv(1000)
    connection.sendall(os.urandom(4000))


def _http(connection: socket.socket, end: threading.Event) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def _empty(connection: socket.socket, end: threading.Event) -> None:
    connection.recv(10)


@pytest.mark.parametrize("serve", [_silent, _dripping, _nonsense, _http, _empty])
def test_a_server_that_behaves_badly_ends_in_an_error_within_the_time_limit(serve) -> None:
    with tcp_server(serve) as port:
        began = time.monotonic()
        with pytest.raises(ServiceError):
            Bdii(f"ldap://127.0.0.1:{port}", connect_s=1, total_s=2).tags_of(["ce.site.org"])
        assert time.monotonic() - began < 15
