"""Compare GOCDB's listing with the site registry: what would change, and what would not, in sentences (SD 3).

Nothing is written here. What GOCDB does not say stays as the registry has it, and how to
log in is never taken over for a site that is known: a host key is confirmed by a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar
from zoneinfo import available_timezones

from pps.domain.base.errors import InvalidNameError
from pps.domain.base.names import checked_addresses, checked_name
from pps.domain.sites.gocdb import ListedService, ListedSite, Listing
from pps.domain.sites.place import rounded, said_of_cpus, said_of_place
from pps.domain.sites.site import CertificationStatus, Infrastructure, PartnerLevel, Site

#: Says what is wrong with an entry of sites.yaml; nothing means that it is good.
Judge = Callable[[Mapping[str, Any]], tuple[str, ...]]

#: EXTENSIONS that a new site needs -> their place in its entry of sites.yaml.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "PPS_PLATFORM": ("platform",),
    "PPS_SSH_HOST": ("ssh", "host"),
    "PPS_SSH_USER": ("ssh", "user"),
    "PPS_SSH_HOST_KEY": ("ssh", "host_key"),
    "PPS_PREVIEW_ROOT": ("preview_root",),
    "PPS_PRODUCTION_ROOT": ("production_root",),
    "PPS_PROFILE_D": ("profile_d",),
    "PPS_TAG_DIR": ("tag_dir",),
    "PPS_SUBCLUSTER": ("subcluster",),
}
_PORT, _CONTACT, _PREVIEWS, _LEVEL = "PPS_SSH_PORT", "PPS_CONTACT", "PPS_PREVIEWS", "PPS_PARTNER_LEVEL"
_CPUS = "PPS_CPUS"
_OURS = "PPS_"
_KNOWN = (*NEEDED, _PORT, _CONTACT, _PREVIEWS, _LEVEL, _CPUS)
#: Below this share of the registry, a listing is more likely a part of GOCDB than its present state.
_PRUNE_FROM_SHARE = 0.5
_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class SiteChange:
    """One value of a known site that is different in GOCDB. Values as sites.yaml writes them."""

    site: str
    key: str
    old: Any
    new: Any

    @property
    def sentence(self) -> str:
        """For people."""
        text = f"{self.site}: {self.key} {_words(self.old)} -> {_words(self.new)}."
        if self.key == "certification" and self.new != CertificationStatus.CERTIFIED:
            text += f" It gets no previews while it is {self.new}."
        return text


@dataclass(frozen=True, slots=True)
class NotAdded:
    """A site of GOCDB that the registry cannot take in, and why."""

    site: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import would do. Applied twice it does nothing the second time."""

    changes: tuple[SiteChange, ...] = ()
    additions: tuple[Mapping[str, Any], ...] = ()
    """entries for sites.yaml"""
    not_added: tuple[NotAdded, ...] = ()
    without_keys: tuple[str, ...] = ()
    """sites of GOCDB that have no PPS_ extension, and so take no part"""
    missing: tuple[str, ...] = ()
    """sites of the registry that GOCDB no longer lists"""
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """what GOCDB says that cannot be right; left as it was"""

    @property
    def does_nothing(self) -> bool:
        """Tell whether sites.yaml would stay as it is."""
        return not self.changes and not self.additions


def plan_import(registry: Mapping[str, Site], listing: Listing, judge: Judge, *, prune: bool = False) -> ImportPlan:
    """Say what GOCDB's listing changes in the registry.

    Args:
        prune: also set the sites that GOCDB no longer lists to Closed.
    """
    listed, problems = _each_once(listing)
    services = _services(listing.services)
    known = {name.lower(): site for name, site in registry.items()}
    changes: list[SiteChange] = []
    additions: list[Mapping[str, Any]] = []
    not_added: list[NotAdded] = []
    without_keys: list[str] = []
    notes: list[str] = []

    for name, theirs in listed.items():
        values, wrong = _values(theirs)
        drawn, doubts = _drawn(theirs)
        values |= drawn
        notes += [f"{theirs.name}: {key[:60]!r} is not a key that we know." for key in _unknown_keys(theirs)]
        if name in known:
            ours = known[name]
            changes += _differences(ours, values)
            problems += [f"{ours.name}: {sentence}" for sentence in (*wrong, *doubts)]
            notes += _kept_back(ours, theirs)
        elif any(key.startswith(_OURS) for key, _ in theirs.extensions):
            entry, reasons = _entry(theirs, values, services.get(name, []))
            reasons += wrong or (() if reasons else judge(entry))
            problems += [f"{theirs.name}: {sentence}" for sentence in doubts]
            if reasons:
                not_added.append(NotAdded(theirs.name, tuple(reasons)))
            else:
                additions.append(entry)
        else:
            without_keys.append(theirs.name)

    for name, ours in known.items():
        if name in services:
            changes += _differences(ours, {"services": services[name]})
        elif services and ours.services:
            notes.append(f"{ours.name}: GOCDB lists no service of it; the registry keeps those that it has.")

    there = listed.keys() | listing.unread | {s.name.lower() for s in listing.sites}
    missing = _missing(known, there) if listing.sites else ()
    if prune and (missing or not listing.sites):
        if reasons_not_to := reasons_against_pruning(registry, listing, len(missing)):
            problems += [f"Nothing was pruned: {reason}" for reason in reasons_not_to]
        else:
            closed = CertificationStatus.CLOSED.value
            changes += [SiteChange(s, "certification", registry[s].certification.value, closed) for s in missing]
    return ImportPlan(
        tuple(sorted(changes, key=lambda c: (c.site, c.key))),
        tuple(additions),
        tuple(not_added),
        tuple(without_keys),
        missing,
        tuple(notes),
        (*listing.problems, *problems),
    )


def reasons_against_pruning(registry: Mapping[str, Site], listing: Listing, missing: int) -> tuple[str, ...]:
    """Say why a site's absence from this listing does not mean that GOCDB no longer has it."""
    reasons = []
    if not listing.sites:
        reasons.append("no site is listed at all (get_site is needed).")
    if not listing.complete:
        reasons.append("GOCDB answered in pages, and this is not the last.")
    if listing.sites and missing > len(registry) * _PRUNE_FROM_SHARE:
        reasons.append(f"{missing} of {len(registry)} sites are missing, so this is probably only a part of GOCDB.")
    return tuple(reasons)


def _each_once(listing: Listing) -> tuple[dict[str, ListedSite], list[str]]:
    """Sites by name in lower case; of two that differ we do not guess which one holds."""
    versions: dict[str, list[ListedSite]] = defaultdict(list)
    for site in listing.sites:
        if site not in versions[site.name.lower()]:
            versions[site.name.lower()].append(site)
    doubles = [sites[0].name for sites in versions.values() if len(sites) > 1]
    problems = [f"{name} is listed more than once, and not in the same words; it was left out." for name in doubles]
    return {name: sites[0] for name, sites in versions.items() if len(sites) == 1}, problems


def _missing(known: Mapping[str, Site], there: Iterable[str]) -> tuple[str, ...]:
    listed = set(there)
    return tuple(
        site.name
        for name, site in known.items()
        if name not in listed and site.certification is not CertificationStatus.CLOSED
    )


def _services(listed: Iterable[ListedService]) -> dict[str, list[dict[str, Any]]]:
    """Site in lower case -> its services as sites.yaml writes them; of two entries for one, production counts."""
    found: dict[str, dict[tuple[str, str], bool]] = defaultdict(dict)
    for service in listed:
        mine = found[service.site.lower()]
        key = (service.type, service.host)
        mine[key] = mine.get(key, False) or service.in_production
    return {
        site: [{"type": t, "host": h, "in_production": on} for (t, h), on in sorted(mine.items())]
        for site, mine in found.items()
    }


def _values(site: ListedSite) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What GOCDB says, as sites.yaml writes it, and a sentence for each thing that cannot be right."""
    values: dict[str, Any] = {}
    wrong: list[str] = []

    def take(key: str, text: str, read: Callable[[str], Any]) -> None:
        if text:
            try:
                values[key] = read(text)
            except (InvalidNameError, ValueError) as error:
                wrong.append(str(error) if isinstance(error, InvalidNameError) else f"{key} {text[:60]!r} {error}")

    take("roc", site.roc, lambda t: checked_name(t, "ROC"))
    take("infrastructure", site.infrastructure, lambda t: _one_of(Infrastructure, t))
    take("certification", site.certification, lambda t: _one_of(CertificationStatus, t))
    take("timezone", site.timezone, _timezone)
    for key in (*NEEDED, _PORT, _CONTACT, _PREVIEWS):
        if len(site.said(key)) > 1:
            wrong.append(f"{key} is given more than once, each time with another value.")
    take("contact", _only(site, _CONTACT) or site.contact, lambda t: checked_addresses(" ".join(t.split()), "contact"))
    take("accepts_previews", _only(site, _PREVIEWS), _yes_or_no)
    if levels := site.said(_LEVEL):
        take("partner_levels", ", ".join(levels), lambda _: _levels(levels))
    return values, tuple(wrong)


def _drawn(site: ListedSite) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Where the site is and how large: for the map alone, so that what cannot be right there keeps nobody out."""
    place, problems = said_of_place(site.latitude, site.longitude)
    cpus, more = said_of_cpus(site.said(_CPUS), _CPUS)
    return {**place, **cpus}, (*problems, *more)


def _only(site: ListedSite, key: str) -> str:
    said = site.said(key)
    return said[0] if len(said) == 1 else ""


def _one_of(kind: type[_E], text: str) -> str:
    if text not in list(kind):
        raise ValueError(f"is none of {', '.join(kind)}.")
    return kind(text).value


def _timezone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError("is not a time zone like Europe/Rome.")
    return text


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ValueError("is neither yes nor no.")
    return text.lower() == "yes"


def _levels(said: tuple[str, ...]) -> list[str]:
    if said == ("none",):
        return []
    if unknown := [s for s in said if s not in list(PartnerLevel)]:
        raise ValueError(f"holds {unknown[0][:40]!r}; the levels are {', '.join(PartnerLevel)}, or none alone.")
    return [level.value for level in PartnerLevel if level in said]


def _current(site: Site) -> dict[str, Any]:
    """The keys that an import may change, as sites.yaml writes them."""
    return {
        "roc": site.roc,
        "infrastructure": site.infrastructure.value,
        "certification": site.certification.value,
        "timezone": site.timezone,
        "contact": site.contact,
        "accepts_previews": site.accepts_previews,
        "partner_levels": [level.value for level in PartnerLevel if level in site.partner_levels],
        "services": [{"type": s.type, "host": s.host, "in_production": s.in_production} for s in sorted(site.services)],
        "latitude": site.latitude and rounded(site.latitude),
        "longitude": site.longitude and rounded(site.longitude),
        "cpus": site.cpus,
    }


def _differences(site: Site, values: Mapping[str, Any]) -> list[SiteChange]:
    now = _current(site)
    return [SiteChange(site.name, key, now[key], new) for key, new in values.items() if new != now[key]]


def _unknown_keys(site: ListedSite) -> list[str]:
    """A typo must not switch something off silently."""
    return list(dict.fromkeys(k for k, _ in site.extensions if k.startswith(_OURS) and k not in _KNOWN))


def _kept_back(ours: Site, theirs: ListedSite) -> list[str]:
    """Sentences on how the site is reached: GOCDB's word is shown, a person decides."""
    ssh = ours.ssh
    # of a site that has closed its SSH it does not matter what GOCDB says of that
    login = (
        {
            "PPS_SSH_HOST": ssh.host,
            _PORT: str(ssh.port),
            "PPS_SSH_USER": ssh.user,
            "PPS_SSH_HOST_KEY": ssh.host_key,
        }
        if ssh
        else {}
    )
    here = {
        "PPS_PLATFORM": str(ours.platform),
        **login,
        "PPS_PREVIEW_ROOT": ours.preview_root,
        "PPS_PRODUCTION_ROOT": ours.production_root,
        "PPS_PROFILE_D": ours.profile_d,
        "PPS_TAG_DIR": ours.tag_dir,
        "PPS_SUBCLUSTER": ours.subcluster,
    }
    return [
        f"{ours.name}: GOCDB gives another {key} ({said[:80]!r}); sites.yaml keeps its own. "
        "Ask the site, then change it there."
        for key, value in here.items()
        if (said := _only(theirs, key)) and said != value
    ]


def _entry(
    site: ListedSite, values: Mapping[str, Any], services: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The entry of a new site, and why it cannot be one yet."""
    reasons = [f"lacks {', '.join(lacking)}."] if (lacking := [k for k in NEEDED if not site.said(k)]) else []
    if "contact" not in values:
        reasons.append(f"lacks a contact (CONTACT_EMAIL, or {_CONTACT}).")
    if "roc" not in values:
        reasons.append("lacks its ROC.")
    if "certification" not in values:
        reasons.append("lacks its CERTIFICATION_STATUS.")
    if values.get("certification") == CertificationStatus.CLOSED:
        reasons.append("is Closed in GOCDB.")
    entry: dict[str, Any] = {"name": site.name, "roc": values.get("roc", ""), "platform": "", "ssh": {}}
    for key, place in NEEDED.items():
        inner = entry if len(place) == 1 else entry[place[0]]
        inner[place[-1]] = _only(site, key)
    if port := _only(site, _PORT):
        entry["ssh"]["port"] = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else port[:40]
    entry |= {k: v for k, v in values.items() if k not in ("name", "roc")}
    # Nobody is taken for a volunteer: without a plain yes there is no opt-in.
    entry.setdefault("accepts_previews", False)
    return entry | ({"services": services} if services else {}), reasons


def _words(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None | []:
            return "none"
        case list():
            return ", ".join(_words(v) for v in value)
        case dict():
            off = "" if value.get("in_production", True) else " (not in production)"
            return f"{value['type']} at {value['host']}{off}"
        case _:
            return str(value)
