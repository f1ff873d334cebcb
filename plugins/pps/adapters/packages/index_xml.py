"""XML of repository indexes, which comes from outside: read as a stream, with a bound for everything in it.

A document type is refused as it begins, so that no entity is ever declared (billion laughs, external entities). The
bounds are on bytes, elements, depth, attributes, the text that is kept, and on one token: expat reads a token that
comes in pieces anew with each piece, and spent 8 s on one of 32 MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from pps.domain.base.errors import PackageError

_NEXT = "Ask the provider of the repository."
_PIECE = 1 << 16
_XML = "http://www.w3.org/XML/1998/namespace"


def guarded_parser(
    refuse: Callable[[str], NoReturn], what: str, *, namespaces: str | None = None
) -> expat.XMLParserType:
    """A parser for XML that comes from outside: UTF-8 alone, no document type, so no entity is ever declared.

    Args:
        refuse: raises the error about this document.
        what: such as "an index", for the sentences.
        namespaces: what stands between a namespace and a name.
    """

    def declaration(version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.upper() not in ("UTF-8", "UTF8", "US-ASCII"):
            refuse(f"says that its encoding is {encoding[:40]!r}; only UTF-8 is read.")

    def doctype(*_: object) -> NoReturn:
        refuse(f"has a document type declaration or entities, which {what} never needs.")

    # no other decoder of expat's or Python's is ever asked
    parser = expat.ParserCreate("UTF-8", namespaces)
    parser.buffer_text = True
    parser.XmlDeclHandler = declaration
    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = doctype
    parser.ExternalEntityRefHandler = doctype
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    return parser


def refuse_zero_bytes(data: bytes, refuse: Callable[[str], NoReturn]) -> None:
    """Expat would take what holds zero bytes for UTF-16, whatever it is told."""
    if b"\0" in data:
        refuse("is no XML in UTF-8: it holds zero bytes.")


@dataclass(frozen=True, slots=True)
class XmlLimits:
    """What an index may be. All of Fedora is some 400 MB in five million elements."""

    elements_at_most: int = 20_000_000
    depth_at_most: int = 30
    attributes_at_most: int = 50
    token_at_most: int = 1 << 18
    """bytes of one tag, comment or the like; texts are no tokens"""
    kept_at_most: int = 4096
    """characters of a text; descriptions may be longer, nothing that we ask for is"""


@dataclass
class IndexReader:
    """The handlers; a subclass says what it does with the elements."""

    subject: str
    limits: XmlLimits = field(default_factory=XmlLimits, kw_only=True)
    path: list[str] = field(default_factory=list, kw_only=True)
    _elements: int = field(default=0, init=False)
    _kept: int = field(default=0, init=False)
    _text: list[str] = field(default_factory=list, init=False)

    def opened(self, path: str, attributes: dict[str, str]) -> None:
        """An element has begun; names are without their namespaces, but `xml:base` is itself."""

    def closed(self, path: str, text: str) -> None:
        """An element has ended."""

    def refuse(self, why: str) -> NoReturn:
        """Raise the error about this document."""
        raise PackageError(self.subject, why, _NEXT)

    def read(self, chunks: Iterable[bytes]) -> None:
        """Read the document; `PackageError` says what is wrong with it."""
        parser = guarded_parser(self.refuse, "an index", namespaces="}")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)  # else a token that is under way cannot be seen
        fed = 0
        try:
            for chunk in chunks:
                for at in range(0, len(chunk), _PIECE):
                    piece = chunk[at : at + _PIECE]
                    refuse_zero_bytes(piece, self.refuse)
                    parser.Parse(piece, False)
                    fed += len(piece)
                    if fed - parser.CurrentByteIndex > self.limits.token_at_most:
                        self.refuse(f"has a tag or comment of more than {self.limits.token_at_most} bytes.")
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            why = expat.ErrorString(error.code)
            raise PackageError(
                self.subject, f"is not well-formed XML in UTF-8 (line {error.lineno}: {why}).", _NEXT
            ) from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > self.limits.elements_at_most:
            self.refuse(f"has more than {self.limits.elements_at_most} elements.")
        if len(self.path) >= self.limits.depth_at_most:
            self.refuse(f"is nested more than {self.limits.depth_at_most} deep.")
        if len(attributes) > self.limits.attributes_at_most:
            self.refuse(f"has an element with more than {self.limits.attributes_at_most} attributes.")
        self.path.append(name.rpartition("}")[2])
        self._text, self._kept = [], 0
        plain = {k if "}" not in k else k.replace(f"{_XML}}}", "xml:"): v for k, v in attributes.items()}
        self.opened("/".join(self.path), plain)

    def _data(self, text: str) -> None:
        if self._kept < self.limits.kept_at_most:
            self._kept += len(text)
            self._text.append(text[: self.limits.kept_at_most])

    def _end(self, name: str) -> None:
        self.closed("/".join(self.path), "".join(self._text).strip())
        self.path.pop()
        self._text, self._kept = [], 0
