from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.domain.base.texts import clean_text, for_the_public, one_line


@given(st.text() | st.text(alphabet="\ud800\udfff\u202e\u2028\r\n\x00\x1b ab"))
def test_clean_text_can_be_encoded_and_holds_no_control_character(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode()
    assert not [c for c in cleaned if unicodedata.category(c) == "Cc" and c not in "\t\n"]
    assert not set(cleaned) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069")
    assert clean_text(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u202egnp.exe", "⟨U+202E⟩gnp.exe"),
        ("a\0b\x1b[31mred\x7f", "a␀b␛[31mred␡"),
        ("a\u2066b\u2069\u200bc\ufeff", "a⟨U+2066⟩b⟨U+2069⟩⟨U+200B⟩c⟨U+FEFF⟩"),
        ("a\x9bb\U000e0041", "a⟨U+009B⟩b⟨U+E0041⟩"),
        ("\ufeffa byte order mark that a program has written", "a byte order mark that a program has written"),
        (" \x00\u202e\n", " \n"),
    ],
)
def test_what_would_be_invisible_is_made_visible_and_alone_it_is_nothing(text: str, shown: str) -> None:
    assert clean_text(text) == shown


@pytest.mark.parametrize("sign", ["\u200b", "\u202e", "\u2060", "\0"])
def test_no_person_hides_behind_invisible_characters_and_others_stay_visible(sign: str) -> None:
    for said in (f"ada.lovelace@{sign}pic.example.org", f"lovel{sign}ace@pic.example.org", f"cn{sign}=Ada Lovelace"):
        shown = for_the_public(clean_text(f"Ask {said}"), ["lovelace"])
        assert "lovel" not in shown.casefold(), shown
        assert for_the_public(shown, ["lovelace"]) == shown
    hidden_name = for_the_public(clean_text(f"ada{sign}-2 and a{sign}da"), ["ada"])
    assert hidden_name == "ada-2 and ***"
    kept = for_the_public(clean_text(f"Seen {sign}here; mail ada@pic.example.org"))
    assert kept.endswith("here; mail a***@pic.example.org")
    assert len(kept) > len("Seen here; mail a***@pic.example.org"), "what hides nobody stays visible"


def test_every_kind_of_line_end_becomes_a_newline() -> None:
    assert clean_text("a\r\nb\rc\u2028d\x0be") == "a\nb\nc\nd\ne"


@given(st.text())
def test_one_line_is_one_line_and_not_too_long(text: str) -> None:
    line = one_line(text, at_most=20)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 20


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ask bruno@cnaf.example.org, please.", "Ask b***@cnaf.example.org, please."),
        ("See https://ana:geheim@wiki.example.org/x", "See https://wiki.example.org/x"),
        ("ftp://ana@files.example.org", "ftp://files.example.org"),
        ("<style>@import url(//x)</style>", "<style>@import url(//x)</style>"),
        ("5 jobs @ 2 GB", "5 jobs @ 2 GB"),
        ("https://ana:p@ss@wiki.example.org/x", "https://wiki.example.org/x"),
        ("https://copr.example.org/@group/x", "https://copr.example.org/@group/x"),
        ("ana%40pic.example.org", "a***@pic.example.org"),
        ("ana [at] pic.example.org", "a***@pic.example.org"),
        ("\uff41na\uff20pic.example.org", "\uff41***@pic.example.org"),
        ('"ana garcia"@pic.example.org', "***@pic.example.org"),
        ("@@ana@pic.example.org", "a***@pic.example.org"),
        ("By /DC=org/DC=example/CN=Ana M. Garcia (PIC). It fails.", "By [name in a certificate]. It fails."),
        ("CN=Garcia\\, Ana,OU=x,DC=org\nIt fails.", "[name in a certificate]\nIt fails."),
        ("cn = ana garcia", "[name in a certificate]"),
        ("X509_CN_CHECK and o=grid", "X509_CN_CHECK and o=grid"),
        ("https://x/pps/feedback/r?vo=a&token=abc.def", "https://x/pps/feedback/r?vo=a&token=***"),
        ("1765791000." + "Ab3-" * 10 + "xyz", "***"),
        ("MYSQL_PASSWORD=geheim and more", "MYSQL_PASSWORD=*** and more"),
        ("/home/ana/x, /afs/cern.ch/user/a/ana/y", "/home/***/x, /afs/cern.ch/user/a/***/y"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----", "***-----END RSA PRIVATE KEY-----"),
        ("glite-WN 3.1.23.0 on 192.0.2.1 in /opt/glite/etc", "glite-WN 3.1.23.0 on 192.0.2.1 in /opt/glite/etc"),
    ],
)
def test_what_is_published_shows_no_person_no_login_and_no_secret(text: str, shown: str) -> None:
    assert for_the_public(text) == shown
    assert for_the_public(shown) == shown


def test_user_names_are_hidden_where_they_stand_as_words() -> None:
    text = "Ada and ada-2 asked ADA; see https://x.example.org/ada/ and ada.example.org."
    assert (
        for_the_public(text, ["ada"]) == "*** and ada-2 asked ***; see https://x.example.org/ada/ and ada.example.org."
    )


@given(st.text(alphabet='ab@%40[]() .:/=,CN\n"-*'), st.sampled_from([(), ("ab",)]))
def test_the_door_lets_the_same_text_through_twice_as_once(text: str, names: tuple[str, ...]) -> None:
    once = for_the_public(text, names)
    assert for_the_public(once, names) == once


@pytest.mark.parametrize(
    "text",
    [
        "write to ada.lovelace at pic.example.org",
        "lovelace AT pic DOT example DOT org",
        "lovelace&#64;pic.example.org",
        "lovelace&#x40;pic.example.org",
        "lovelace&commat;pic.example.org",
        "lovelace\ufe6bpic.example.org",
        "lovelace%2540pic.example.org",
        "lovelace @ pic.example.org",
        "lovelace\u00a0@\u00a0pic.example.org",
        "lovelace@ pic.example.org",
        "lovelace@\u200bpic.example.org",
        "lovelace@[192.0.2.1]",
        "ada.lovelace -at- pic.example.org",
        "uid:lovelace",
        "cn: Ada Lovelace",
        "cn\\=Ada Lovelace",
        "GIVENNAME=Ada, SURNAME=Lovelace",
        "SERIALNUMBER=lovelace",
        "2.5.4.3=Lovelace",
        "OU=Lovelace's team, O=PIC",
        "USER=lovelace",
        "~lovelace/job.log",
        "C:\\Users\\lovelace\\job.log",
    ],
)
def test_a_person_is_hidden_however_it_is_spelt(text: str) -> None:
    shown = for_the_public(f"Seen. {text}")
    assert "lovelace" not in shown.casefold()
    assert shown.startswith("Seen. ")
    assert for_the_public(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "The job failed at ce.pic.example.org with 2.1.0~rc3-3, as glite-WN at ce.pic.example.org did.",
        "Version 1.2 @ 10:00, in ~/pps, by the user: it fails.",
        "libfoo.so at line 12; write at once. dot",
    ],
)
def test_what_names_nobody_stays(text: str) -> None:
    assert for_the_public(text) == text
