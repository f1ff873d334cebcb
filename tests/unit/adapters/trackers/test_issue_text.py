"""An issue's body: what is read from it, and that nothing in it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.thoroughness import examples

from pps.adapters.trackers.issue_text import IssueText

FORM = """### Version

3.1.23

### Contact

_No response_

### Packages

a 1 noarch
b 2 noarch

### Notes

```markdown
# Changes

### Version

9.9
```
"""


def values(body: str) -> dict[str, str]:
    return IssueText.of(body).values


def test_what_a_form_wrote_is_read_by_its_headings() -> None:
    assert values(FORM) == {
        "Version": "3.1.23",
        "Contact": "",
        "Packages": "a 1 noarch\nb 2 noarch",
        "Notes": "# Changes\n\n### Version\n\n9.9",
    }
    assert values(FORM.replace("\n", "\r\n")) == values(FORM)


@pytest.mark.parametrize(
    "inside",
    [
        "```\n### Version\n\n6.6.6\n```",
        "~~~~ x\n~~~\n### Version\n\n6.6.6\n~~~~",
        "````\n```\n### Version\n\n6.6.6\n````",
        "<!-- a\n### Version\n\n6.6.6\n-->",
        "    ### Version\n\n    6.6.6",
        "#### Version\n\n6.6.6",
        "> ### Version\n>\n> 6.6.6",
        "x\u2028### Version\u2028\u20286.6.6",
        "x\x0b### Version\x0b6.6.6",
        "###Version\n\n6.6.6",
    ],
)
def test_a_heading_that_no_reader_of_the_page_sees_as_one_counts_for_nothing(inside: str) -> None:
    body = f"### Notes\n\n{inside}\n\n### Version\n\n1.0\n"
    assert values(body)["Version"] == "1.0"
    assert IssueText.of(body).twice == ()


def test_a_heading_that_stands_twice_is_named() -> None:
    text = IssueText.of("### A\n\n1\n\n### B\n\n2\n\n### A\n\n3\n")
    assert (text.twice, text.values["A"]) == (("A",), "1")


def test_a_change_leaves_every_other_byte_as_it_is() -> None:
    changed = str(IssueText.of("Hello,\r\n\n" + FORM + "<!-- end -->").changed({"Packages": "c 3 noarch"}))
    assert changed == "Hello,\r\n\n" + FORM.replace("a 1 noarch\nb 2 noarch", "c 3 noarch") + "<!-- end -->"


def test_a_new_section_comes_last_and_on_lines_of_its_own() -> None:
    assert str(IssueText.of("Hello").changed({"A": "1"})) == "Hello\n\n### A\n\n1\n\n"
    assert str(IssueText.of("### B\n\n2").changed({"A": ""})) == "### B\n\n2\n\n### A\n\n_No response_\n\n"


_TRICKY = st.sampled_from(
    ["### A", "### B\n", "```", "~~~~", "`", "<!--", "-->", "\n", "\n\n", " ", "    ", "x", "_No response_", "\t"]
)
_TEXTS = st.lists(_TRICKY | st.text(max_size=5), max_size=12).map("".join)


@given(st.dictionaries(st.sampled_from("ABCD"), _TEXTS), _TEXTS)
@settings(max_examples=examples(300))
def test_whatever_is_written_is_read_as_it_was(said: dict[str, str], later: str) -> None:
    said = {name: text.replace("\r\n", "\n").replace("\r", "\n") for name, text in said.items()}
    text = IssueText.of(str(IssueText.of("").changed(said)))
    assert text.values == said
    changed = IssueText.of(str(text.changed({"A": later}))).values
    assert changed == {**said, "A": later.replace("\r\n", "\n").replace("\r", "\n")}


@given(_TEXTS)
@settings(max_examples=examples(300))
def test_any_text_is_a_body_and_comes_back(body: str) -> None:
    assert str(IssueText.of(body)) == body


@pytest.mark.parametrize("piece", ["### a ", "```\n", "<!--", "\n", "### a\n\n", "### a\n", " ", "`", "~~~ `"])
def test_a_huge_body_is_read_in_one_go(piece: str) -> None:
    text = IssueText.of(piece * (1_000_000 // len(piece)))
    assert len(text.values) <= 1
    assert len(text.twice) <= 1
    assert len(str(text)) >= 999_990
