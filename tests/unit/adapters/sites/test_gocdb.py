"""GOCDB's XML is read strictly, whoever wrote it."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bad_input import NAMES
from tests.support.gocdb import USABLE, document, service, site
from tests.support.http_folder import HttpFolder, http_folder  # noqa: F401
from tests.support.slow_servers import tcp_server

from pps.adapters.sites.gocdb import LIMITS, parse_listing, read_listing
from pps.domain.base.errors import ConfigurationError, ServiceError
from pps.domain.base.names import is_name
from pps.domain.sites.gocdb import Listing

LAUGHS = "<!DOCTYPE r [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(ord('a') + n)} '{('&' + chr(ord('a') + n - 1) + ';') * 9}'>" for n in range(1, 10)
)


def parse(text: str | bytes) -> Listing:
    return parse_listing(text if isinstance(text, bytes) else text.encode(), "get_site.xml")


def refused(text: str | bytes) -> str:
    with pytest.raises(ConfigurationError) as error:
        parse(text)
    assert error.value.subject == "get_site.xml"
    assert len(str(error.value)) < 500
    return str(error.value)


def test_a_site_is_read_with_its_extensions() -> None:
    (found,) = parse(document(site("IT-PERUGIA", USABLE))).sites
    assert (found.name, found.roc, found.infrastructure) == ("IT-PERUGIA", "Italy", "Production")
    assert (found.certification, found.timezone) == ("Certified", "Europe/Rome")
    assert found.extensions == USABLE


def test_the_security_contact_is_not_the_one_for_failed_previews() -> None:
    (found,) = parse(document(site("IT-PERUGIA"))).sites
    assert found.contact == "grid-admin@it-perugia.example.org"
    (found,) = parse(document(site("IT-PERUGIA", CONTACT_EMAIL=""))).sites
    assert found.contact == ""


def test_services_are_read_with_type_host_and_whether_they_are_in_production() -> None:
    found = parse(document(service("IT-PERUGIA"), service("IT-PERUGIA", "gLExec", in_production="N"))).services
    assert [(s.type, s.host, s.in_production) for s in found] == [
        ("CREAM-CE", "ce01.it-perugia.example.org", True),
        ("gLExec", "ce01.it-perugia.example.org", False),
    ]


@pytest.mark.parametrize(
    ("said", "host"),
    [
        ("ce_01.example.org", "ce_01.example.org"),
        ("CE01.Example.ORG.", "ce01.example.org"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("b\u00fccher.example.org", "xn--bcher-kva.example.org"),
    ],
)
def test_a_host_is_read_in_one_spelling_however_it_is_listed(said: str, host: str) -> None:
    found = parse(document(service("IT-PERUGIA", host=said)))
    assert [s.host for s in found.services] == [host], found.problems


def test_an_answer_in_pages_is_known_to_be_incomplete() -> None:
    more = '<meta><link rel="self" href="x"/>%s<count>100</count></meta>'
    assert parse(document(more % "", site("A"))).complete
    assert not parse(document(more % '<link rel="next" href="x"/>', site("A"))).complete


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS + "]><results><SITE>&j;</SITE></results>", "document type declaration or entities"),
        (
            '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><results><SITE><SHORT_NAME>&x;</SHORT_NAME></SITE></results>',
            "document type declaration or entities",
        ),
        ('<!DOCTYPE results SYSTEM "http://127.0.0.1:1/x.dtd"><results/>', "document type declaration or entities"),
        (
            '<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:1/p"> %p;]><results/>',
            "document type declaration or entities",
        ),
        ("<!DOCTYPE results><results/>", "document type declaration or entities"),
        ("<results><SITE>&who;</SITE></results>", "undefined entity"),
        ("<results>" + "<a>" * 3_400_000, "nested more than 12 deep"),
        ("<a>" * 3_400_000, "begins with <a>"),
        ("<results>" + "<a/>" * 1_000_001, "more than 1000000 elements"),
        (document(site("A", OFFICIAL_NAME="x" * 65_537)), "more than 65536 characters"),
        ("<results><a " + " ".join(f'a{n}="1"' for n in range(51)) + "/></results>", "more than 50 attributes"),
        ("<html><body/></html>", "begins with <html>"),
        ("", "no element found"),
        ("<results>", "no element found"),
        ("<results/><results/>", "junk after document"),
        ("<results>\0</results>", "zero bytes"),
        ("<results>\x01</results>", "not well-formed"),
        ("not XML", "syntax error"),
        ('{"sites": []}', "not well-formed"),
    ],
    ids=range(19),
)
def test_a_hostile_or_broken_document_is_refused_and_says_why(text: str, says: str) -> None:
    assert says in refused(text)


@pytest.mark.parametrize(
    "data",
    [
        document(site("A")).encode("utf-16"),
        document(site("A")).encode("utf-16-le"),
        document(site("A")).encode("utf-32"),
        document(site("A", OFFICIAL_NAME="Universit\u00e0")).encode("latin-1"),
        document(site("A")).replace("UTF-8", "ISO-8859-1").encode(),
        document(site("A")).replace("UTF-8", "UTF-7").encode(),
        document(site("A")).replace("UTF-8", "zlib_codec").encode(),
        b"<results>\xed\xa0\x80</results>",
        b"\x1f\x8b\x08\x00" + b"\0" * 20,
    ],
    ids=range(9),
)
def test_another_encoding_than_utf_8_is_refused(data: bytes) -> None:
    assert "UTF-8" in refused(data)


def test_a_byte_order_mark_and_accents_are_fine() -> None:
    (found,) = parse(b"\xef\xbb\xbf" + document(site("A", OFFICIAL_NAME="Universit\u00e0")).encode()).sites
    assert found.name == "A"


def test_a_document_that_is_too_large_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ConfigurationError, match="larger than 10 bytes"):
        parse_listing(b"<results/>" * 2, "x", replace(LIMITS, bytes_at_most=10))


@pytest.mark.parametrize("name", [n for n in NAMES if n.isprintable() and n != n.strip() + " "])
def test_a_site_whose_name_could_harm_is_left_out_and_the_others_are_read(name: str) -> None:
    listing = parse(document(site(name), site("IT-PERUGIA"), service(name)))
    assert [s.name for s in listing.sites] == ["IT-PERUGIA"]
    assert len(listing.problems) == 2
    assert all("left out" in p and len(p) < 400 for p in listing.problems)


@pytest.mark.parametrize(("kind", "host"), [("CE; id", "ce.example.org"), ("CE", "-oProxyCommand=id"), ("CE", "a b")])
def test_a_service_whose_type_or_host_could_harm_is_left_out(kind: str, host: str) -> None:
    listing = parse(document(service("A", kind, host), service("A")))
    assert len(listing.services) == 1
    assert "A service of A was left out" in listing.problems[0]


def test_a_site_that_contradicts_itself_is_left_out_but_known_to_be_listed() -> None:
    twice = site("IT-PERUGIA").replace("<ROC>", "<ROC>Other</ROC><ROC>")
    listing = parse(document(twice))
    assert listing.sites == ()
    assert listing.unread == {"it-perugia"}
    assert "ROC is there more than once" in listing.problems[0]


def test_a_million_bad_entries_are_not_a_million_sentences() -> None:
    listing = parse(document(*(service("a b") for _ in range(1000))))
    assert len(listing.problems) == 101
    assert listing.problems[-1] == "900 further entries were left out."


def test_elements_elsewhere_do_not_stand_in_for_those_of_a_site() -> None:
    odd = site("A").replace("<SCOPES>", "<SCOPES><SHORT_NAME>B</SHORT_NAME><KEY>PPS_PREVIEWS</KEY>")
    (found,) = parse(document("<KEY>x</KEY>", odd)).sites
    assert (found.name, found.extensions) == ("A", ())


@given(st.text(alphabet="<>/!&;[]SITE KEY\"'=-?x\0é", max_size=60))
def test_whatever_comes_either_is_read_or_is_our_own_error(text: str) -> None:
    try:
        listing = parse("<results>" + text + "</results>")
    except ConfigurationError:
        return
    assert all(is_name(s.name) for s in listing.sites)


def test_a_file_is_read_and_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "s.xml").write_text(document(site("A")))
    assert read_listing(str(tmp_path / "s.xml")).sites[0].name == "A"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none.xml", "/dev/zero", "a\0b"):
        with pytest.raises(ConfigurationError):
            read_listing(str(path))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://x",
        "ftp://127.0.0.1/x",
        "https://user:canary-secret@127.0.0.1/",
        "http://",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1\\@evil/",
        "http://ev\u0456l.example/",
        "http://127.0.0.1/\r\nX: y",
    ],
)
def test_an_address_that_is_not_plain_http_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not a plain http or https address"):
        read_listing(url)


def test_an_answer_is_read_over_http_with_its_query(http_folder: HttpFolder) -> None:
    (http_folder.folder / "index.html").write_text(document(site("A")))
    assert read_listing(http_folder.url + "/?method=get_site&scope=").sites[0].name == "A"
    assert http_folder.requests == ["/?method=get_site&scope="]


def test_a_redirect_is_followed_on_the_same_server_only(http_folder: HttpFolder) -> None:
    (http_folder.folder / "s.xml").write_text(document(site("A")))
    http_folder.redirects["/old"] = "/s.xml"
    assert read_listing(http_folder.url + "/old").sites[0].name == "A"
    for elsewhere in ("http://127.0.0.1:1/s.xml", "//evil.example.org/s.xml", "file:///etc/passwd"):
        http_folder.redirects["/away"] = elsewhere
        with pytest.raises(ConfigurationError):
            read_listing(http_folder.url + "/away")
    http_folder.redirects["/round"] = "/round"
    with pytest.raises(ConfigurationError, match="redirects more than"):
        read_listing(http_folder.url + "/round")


def test_a_server_that_does_not_answer_as_it_should_is_worth_a_retry(http_folder: HttpFolder) -> None:
    (http_folder.folder / "s.xml").write_text(document(site("A")))
    http_folder.cut_after["/s.xml"] = 20
    http_folder.statuses["/busy"] = 503
    for path in ("/s.xml", "/busy", "/none"):
        with pytest.raises(ServiceError):
            read_listing(http_folder.url + path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServiceError, match="does not answer"):
        read_listing(f"http://127.0.0.1:{port}/?key=canary-secret")


def test_an_address_is_shown_without_its_query(http_folder: HttpFolder) -> None:
    with pytest.raises(ServiceError) as error:
        read_listing(http_folder.url + "/none?key=canary-secret")
    assert "canary-secret" not in str(error.value)


def test_a_server_that_sends_without_end_is_cut_off() -> None:
    def endless(connection: socket.socket, end: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n<results>")
        while not end.is_set():
            connection.sendall(b" " * 4096)

    with tcp_server(endless) as port, pytest.raises(ConfigurationError, match="larger than 100000 bytes"):
        read_listing(f"http://127.0.0.1:{port}/", replace(LIMITS, bytes_at_most=100_000))


def test_a_server_that_falls_silent_is_not_waited_for() -> None:
    def silent(connection: socket.socket, end: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n<results>")
        end.wait()

    with tcp_server(silent) as port, pytest.raises(ServiceError, match="broke off"):
        read_listing(f"http://127.0.0.1:{port}/", replace(LIMITS, silence_s=0.2))
