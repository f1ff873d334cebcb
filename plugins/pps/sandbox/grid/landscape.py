"""Who is on the sandbox grid: sites of several ROCs, each with a part to play. Same seed, same grid."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pps.domain.sites.site import Infrastructure, PartnerLevel, Platform


class Fault(StrEnum):
    """What can be wrong with a site; switched at run time by `pps sandbox break` and `repair`."""

    UNREACHABLE = "unreachable"
    """the registry points to a port where nobody listens"""
    QUOTA = "quota"
    """the account's disk quota is used up: no file can grow beyond one block"""
    PROFILE = "profile"
    """a script in the site's own profile.d ends every shell that reads it, so the probes fail"""
    SLOW = "slow"
    """logins take seconds, and the line carries little"""


@dataclass(frozen=True, slots=True)
class SitePlan:
    """One site of the sandbox, before it has a port, keys or a folder."""

    name: str
    roc: str
    platform: Platform
    account: str
    domain: str
    """Below `example.org`, where nobody lives: hosts and mailboxes of the site."""
    timezone: str
    canary: bool = False
    accepts_previews: bool = True
    partner_levels: tuple[PartnerLevel, ...] = ()
    infrastructure: Infrastructure = Infrastructure.PRODUCTION
    starts_with: Fault | None = None
    """The fault that the site has in a fresh grid."""

    @property
    def subcluster(self) -> str:
        """GlueSubClusterUniqueID: the site's computing element, as usual."""
        return f"ce01.{self.domain}"


#: ROC -> (pattern of its sites' names, time zone, places). Cities, not the centres that exist there.
ROCS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "CERN": ("CH-{}", "Europe/Zurich", ("MEYRIN", "LAUSANNE", "LUGANO", "SION", "CHUR", "THUN")),
    "Italy": ("IT-{}", "Europe/Rome", ("PERUGIA", "TRIESTE", "LECCE", "MODENA", "SASSARI", "ANCONA")),
    "France": ("FR-{}", "Europe/Paris", ("RENNES", "NANTES", "DIJON", "TOULON", "ROUEN", "LIMOGES")),
    "DECH": ("DE-{}", "Europe/Berlin", ("KASSEL", "ROSTOCK", "ULM", "MAINZ", "ERFURT", "BREMEN")),
    "UKI": ("UKI-{}", "Europe/London", ("LEEDS", "SWANSEA", "DUNDEE", "NORWICH", "CORK", "EXETER")),
    "SWE": ("ES-{}", "Europe/Madrid", ("OVIEDO", "MURCIA", "CADIZ", "BURGOS", "LUGO", "TOLEDO")),
    "NorthernEurope": ("NE-{}", "Europe/Amsterdam", ("UTRECHT", "UPPSALA", "OULU", "BERGEN", "ODENSE", "TARTU")),
    "CentralEurope": ("CE-{}", "Europe/Warsaw", ("GDANSK", "BRNO", "KOSICE", "SZEGED", "GRAZ", "MARIBOR")),
    "SEE": ("SEE-{}", "Europe/Athens", ("PATRAS", "VARNA", "CLUJ", "NIS", "IZMIR", "LARISSA")),
    "Russia": ("RU-{}", "Europe/Moscow", ("TOMSK", "PERM", "TVER", "SAMARA", "OMSK", "KALUGA")),
    "AsiaPacific": ("AP-{}", "Asia/Taipei", ("HSINCHU", "NAGOYA", "DAEGU", "PUNE", "HOBART", "PENANG")),
}
MOST_SITES = sum(len(places) for _, _, places in ROCS.values())
_ACCOUNTS = ("ppsadm", "gridadm", "swinst", "ppsinst", "egsoft", "lcgadm")
#: The platform of all sites but one, unless the grid is made with another.
PLATFORM = Platform("debian12", "amd64")
_OTHER_PLATFORM = Platform("sl5", "x86_64")

#: Parts of the first sites; the others are healthy. With one only, it is a canary.
_PARTS: tuple[dict[str, object], ...] = (
    {"canary": True, "partner_levels": (PartnerLevel.SILVER, PartnerLevel.GOLD)},
    {"canary": True, "partner_levels": (PartnerLevel.SILVER,)},
    {"partner_levels": (PartnerLevel.SILVER,)},
    {"starts_with": Fault.QUOTA},
    {"starts_with": Fault.UNREACHABLE},
    {"starts_with": Fault.PROFILE},
    {"platform": _OTHER_PLATFORM},
    {"accepts_previews": False},
    {"partner_levels": (PartnerLevel.PLATINUM,)},
    {"infrastructure": Infrastructure.PPS},
)
_STAYS_OUT = {"starts_with", "platform", "accepts_previews", "infrastructure"}
_HEALTHY_PARTS = tuple(part for part in _PARTS if not _STAYS_OUT & set(part))


def plan_sites(number: int, seed: int, platform: Platform, *, healthy: bool = False) -> tuple[SitePlan, ...]:
    """Plan `number` sites, dealt from the ROCs in turn; the same arguments give the same plan.

    Args:
        number: 1 to `MOST_SITES`.
        platform: of all sites but the one that stands for other platforms.
        healthy: no site fails or stays out at the start.
    """
    if not 1 <= number <= MOST_SITES:
        raise ValueError(f"{number} sites; the sandbox can have 1 to {MOST_SITES}")
    dice = random.Random(seed)  # noqa: S311 (names of a demo)
    rocs = list(ROCS)
    dice.shuffle(rocs)
    places = {roc: dice.sample(ROCS[roc][2], len(ROCS[roc][2])) for roc in rocs}
    parts = _HEALTHY_PARTS if healthy else _PARTS
    plans = []
    for index in range(number):
        roc = rocs[index % len(rocs)]
        pattern, timezone, _ = ROCS[roc]
        name = pattern.format(places[roc].pop())
        values: dict[str, object] = {
            "name": name,
            "roc": roc,
            "platform": platform,
            "account": f"{dice.choice(_ACCOUNTS)}{dice.randrange(1, 10):02}",
            "domain": f"{name.lower()}.example.org",
            "timezone": timezone,
        }
        if index < len(parts):
            values |= parts[index]
        plans.append(SitePlan(**values))  # type: ignore[arg-type]
    return tuple(plans)
