"""What people write, as HTML: Markdown without HTML of theirs, without images, and with links to the web only.

`markdown-it-py` escapes what is HTML in their text; `nh3` (Ammonia) lets nothing through that is not in the lists
below. Neither is trusted alone.
"""

from __future__ import annotations

from functools import lru_cache
from html import escape

import nh3
from markdown_it import MarkdownIt

from pps.domain.base.texts import clean_text

LONGEST = 20_000
"""characters; what is longer is shown as it was written"""
_TAGS = {"p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a", "h4", "h5", "h6"}
#: Pages have headings of their own, down to the third.
_BELOW_OURS = 3
_LOWEST = 6
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20}).enable("strikethrough")
_MARKDOWN.disable(["image", "html_block", "html_inline"])


@lru_cache(maxsize=512)
def as_html(text: str) -> str:
    """Somebody's text as HTML that can stand in a page of ours."""
    clean = clean_text(text).strip("\n")
    if len(clean) > LONGEST:
        return f"<pre>{escape(clean)}</pre>"
    tokens = _MARKDOWN.parse(clean)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + _BELOW_OURS, _LOWEST)}"
    return nh3.clean(
        _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        attribute_filter=_only_to_the_web,
        url_schemes={"http", "https"},
        link_rel="nofollow noopener",
        strip_comments=True,
    ).strip()


def _only_to_the_web(tag: str, attribute: str, value: str) -> str | None:
    if (tag, attribute) == ("a", "href"):  # nothing relative: `//evil` and `/pps/...` would look like links of ours
        return value if value.lower().startswith(("http://", "https://")) else None
    return value if (tag, attribute) in (("ol", "start"), ("a", "rel")) else None  # the latter is ours
