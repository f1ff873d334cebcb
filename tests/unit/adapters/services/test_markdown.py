"""People's Markdown on pages: what it may become, and what it can never become."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bad_input import ADDRESSES, HTML, JINJA, NAMES, TEXTS

from pps.adapters.services.markdown import LONGEST, as_html
from pps.adapters.services.templates import theirs

CELLS = ("=cmd|' /C calc'!A0", "+1+1", "-1", "@SUM(1)", "\t=1")
DIRECTORY = ("*", "x)(uid=*", "*)(|(objectClass=*)", "\\2a", "a\0b", "v\nchangetype: delete", "<file:///etc/passwd")
LINKS = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "&#106;avascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "gopher://x",
    "mailto:ana@x.org",
    "//evil",
    "/pps/tasks",
    "feedback?withdraw=yes",
    "#id",
    "",
)
ALLOWED = {
    "div": {"class"},  # ours, around it
    "a": {"href", "rel"},
    "ol": {"start"},
    **{
        tag: set[str]()
        for tag in ["p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "li", "h4", "h5", "h6"]
    },
}


class Shown(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(str(theirs(text)))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def harmless(text: str) -> Shown:
    page = Shown(text)
    for tag, attributes in page.tags:
        assert tag in ALLOWED, page.tags
        assert set(attributes) <= ALLOWED[tag], page.tags
        if "href" in attributes:
            assert str(attributes["href"]).lower().startswith(("http://", "https://"))
            assert attributes["rel"] == "nofollow noopener"
    return page


@pytest.mark.parametrize(
    "text", [*HTML, *JINJA, *TEXTS, *NAMES, *ADDRESSES, *CELLS, *DIRECTORY], ids=lambda t: repr(t[:30])
)
def test_hostile_text_is_shown_as_text_and_nothing_of_it_is_invisible(text: str) -> None:
    page = harmless(text)
    assert not set(page.words) & set("\x00\x1b\x07\u202e\u2066\u200b"), "a control character would be invisible"
    for sign, seen in (("\0", "␀"), ("\x1b", "␛"), ("\u202e", "⟨U+202E⟩")):
        assert (sign in text) is (seen in page.words)


@given(st.text() | st.text(alphabet="<>&\"'`*_[]()!#-=:/\\ \n\tahtps.x\u202e\x1b1", max_size=200))
def test_whatever_is_written_becomes_no_markup_but_ours(text: str) -> None:
    harmless(text)


@pytest.mark.parametrize("link", LINKS)
def test_links_lead_to_the_web_only(link: str) -> None:
    for text in (f"[x]({link})", f"[x](<{link}>)", f"<{link}>", f"[x]: {link}\n\n[x]"):
        assert not [a for _, attributes in harmless(text).tags for a in attributes if a == "href"], text
    (anchor,) = [attributes for tag, attributes in harmless("[x](https://x.org/a?b=c)").tags if tag == "a"]
    assert anchor == {"href": "https://x.org/a?b=c", "rel": "nofollow noopener"}


def test_no_image_is_loaded_and_no_html_of_theirs_is_interpreted() -> None:
    text = '![seen](http://tracker.example.org/p.png)\n\n<b onclick="x">bold</b> <!-- x -->'
    page = harmless(text)
    assert {"img", "b"}.isdisjoint(tag for tag, _ in page.tags)
    assert "!seen" in page.words, "it is a link, with its words"
    assert '<b onclick="x">bold</b> <!-- x -->' in page.words


def test_markdown_is_shown_and_headings_stand_below_ours() -> None:
    page = harmless("# Seen\n\nIt *hangs*:\nalways\n\n- at PIC\n\n```sh\nls\n```\n\n##### Later")
    assert [tag for tag, _ in page.tags] == ["div", "h4", "p", "em", "br", "ul", "li", "pre", "code", "h6"]


def test_a_text_that_is_too_long_for_markdown_is_shown_as_it_was_written() -> None:
    text = "*x* <b>\n" * LONGEST
    assert as_html(text).startswith("<pre>*x* &lt;b&gt;\n")
    assert {tag for tag, _ in harmless(text).tags} == {"div", "pre"}
