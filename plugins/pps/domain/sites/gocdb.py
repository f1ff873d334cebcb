"""What GOCDB says about sites and their services: its own words, unchecked but for the names."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ListedSite:
    """One SITE of `get_site`. Texts as they stand there; "" where GOCDB says nothing."""

    name: str
    """SHORT_NAME; a name as we allow it"""
    roc: str = ""
    infrastructure: str = ""
    certification: str = ""
    timezone: str = ""
    contact: str = ""
    """CONTACT_EMAIL. Not CSIRT_EMAIL: a failed preview is no security incident"""
    extensions: tuple[tuple[str, str], ...] = ()
    """EXTENSIONS, (KEY, VALUE) in their order; a key may occur several times"""
    latitude: str = ""
    longitude: str = ""

    def said(self, key: str) -> tuple[str, ...]:
        """Every value of an extension that is not empty, each once, in their order."""
        return tuple(dict.fromkeys(v for k, v in self.extensions if k == key and v))


@dataclass(frozen=True, slots=True)
class ListedService:
    """One SERVICE_ENDPOINT of `get_service`."""

    site: str
    """SITENAME"""
    type: str
    """SERVICE_TYPE"""
    host: str
    in_production: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """What was read: sites, services, or both."""

    sites: tuple[ListedSite, ...] = ()
    services: tuple[ListedService, ...] = ()
    problems: tuple[str, ...] = ()
    """a sentence for every entry that was left out, because its name or its form will not do"""
    complete: bool = True
    """False: GOCDB answered in pages, and there is a next one"""
    unread: frozenset[str] = field(default_factory=frozenset)
    """names (in lower case) of sites that are listed, but were left out: their absence says nothing"""

    def __add__(self, other: Listing) -> Listing:
        """Two documents read as one listing."""
        return Listing(
            self.sites + other.sites,
            self.services + other.services,
            self.problems + other.problems,
            self.complete and other.complete,
            self.unread | other.unread,
        )
