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
    latitude: float | None = None
    longitude: float | None = None
    cpus: int | None = None

    @property
    def subcluster(self) -> str:
        """GlueSubClusterUniqueID: the site's computing element, as usual."""
        return f"ce01.{self.domain}"


#: ROC -> (pattern of its sites' names, time zone, places with latitude and longitude). Cities, not the centres that
#: exist there. Some sites stand in a neighbour's machine hall, as in the field: a map has to push equal places apart.
ROCS: Mapping[str, tuple[str, str, Mapping[str, tuple[float, float]]]] = {
    "CERN": (
        "CH-{}",
        "Europe/Zurich",
        {
            "MEYRIN": (46.52, 6.63),
            "LAUSANNE": (46.52, 6.63),
            "LUGANO": (46.0, 8.95),
            "SION": (46.52, 6.63),
            "CHUR": (46.85, 9.53),
            "THUN": (46.76, 7.63),
        },
    ),
    "Italy": (
        "IT-{}",
        "Europe/Rome",
        {
            "PERUGIA": (43.11, 12.39),
            "TRIESTE": (45.65, 13.77),
            "LECCE": (40.35, 18.17),
            "MODENA": (44.65, 10.93),
            "SASSARI": (40.73, 8.56),
            "ANCONA": (43.11, 12.39),
        },
    ),
    "France": (
        "FR-{}",
        "Europe/Paris",
        {
            "RENNES": (47.22, -1.55),
            "NANTES": (47.22, -1.55),
            "DIJON": (47.32, 5.04),
            "TOULON": (43.12, 5.93),
            "ROUEN": (49.44, 1.1),
            "LIMOGES": (45.83, 1.26),
        },
    ),
    "DECH": (
        "DE-{}",
        "Europe/Berlin",
        {
            "KASSEL": (51.31, 9.49),
            "ROSTOCK": (54.09, 12.1),
            "ULM": (48.4, 9.99),
            "MAINZ": (50.0, 8.27),
            "ERFURT": (51.31, 9.49),
            "BREMEN": (53.08, 8.8),
        },
    ),
    "UKI": (
        "UKI-{}",
        "Europe/London",
        {
            "LEEDS": (53.8, -1.55),
            "SWANSEA": (51.62, -3.94),
            "DUNDEE": (56.46, -2.97),
            "NORWICH": (52.63, 1.3),
            "CORK": (51.9, -8.47),
            "EXETER": (50.72, -3.53),
        },
    ),
    "SWE": (
        "ES-{}",
        "Europe/Madrid",
        {
            "OVIEDO": (43.36, -5.85),
            "MURCIA": (37.99, -1.13),
            "CADIZ": (36.53, -6.29),
            "BURGOS": (42.34, -3.7),
            "LUGO": (43.36, -5.85),
            "TOLEDO": (39.86, -4.02),
        },
    ),
    "NorthernEurope": (
        "NE-{}",
        "Europe/Amsterdam",
        {
            "UTRECHT": (52.09, 5.12),
            "UPPSALA": (59.86, 17.64),
            "OULU": (65.01, 25.47),
            "BERGEN": (60.39, 5.32),
            "ODENSE": (55.4, 10.39),
            "TARTU": (58.38, 26.72),
        },
    ),
    "CentralEurope": (
        "CE-{}",
        "Europe/Warsaw",
        {
            "GDANSK": (54.35, 18.65),
            "BRNO": (49.2, 16.61),
            "KOSICE": (48.72, 21.26),
            "SZEGED": (46.25, 20.15),
            "GRAZ": (47.07, 15.44),
            "MARIBOR": (46.55, 15.65),
        },
    ),
    "SEE": (
        "SEE-{}",
        "Europe/Athens",
        {
            "PATRAS": (38.25, 21.73),
            "VARNA": (43.21, 27.91),
            "CLUJ": (46.77, 23.59),
            "NIS": (43.32, 21.9),
            "IZMIR": (38.42, 27.14),
            "LARISSA": (38.25, 21.73),
        },
    ),
    "Russia": (
        "RU-{}",
        "Europe/Moscow",
        {
            "TOMSK": (56.49, 84.95),
            "PERM": (58.01, 56.25),
            "TVER": (56.86, 35.92),
            "SAMARA": (53.2, 50.15),
            "OMSK": (54.99, 73.37),
            "KALUGA": (54.51, 36.26),
        },
    ),
    "AsiaPacific": (
        "AP-{}",
        "Asia/Taipei",
        {
            "HSINCHU": (24.8, 120.97),
            "NAGOYA": (35.18, 136.91),
            "DAEGU": (35.87, 128.6),
            "PUNE": (18.52, 73.86),
            "HOBART": (-42.88, 147.33),
            "PENANG": (5.41, 100.33),
        },
    ),
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
#: The first site beyond a grid of usual size says neither where nor how large it is.
_TELLS_NOTHING = 12


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
    places = {roc: dice.sample(list(ROCS[roc][2]), len(ROCS[roc][2])) for roc in rocs}
    parts = _HEALTHY_PARTS if healthy else _PARTS
    plans = []
    for index in range(number):
        roc = rocs[index % len(rocs)]
        pattern, timezone, coordinates = ROCS[roc]
        place = places[roc].pop()
        name = pattern.format(place)
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
        if index != _TELLS_NOTHING:
            latitude, longitude = coordinates[place]
            values |= {"latitude": latitude, "longitude": longitude, "cpus": _cpus(seed, name)}
        plans.append(SitePlan(**values))  # type: ignore[arg-type]
    return tuple(plans)


def _cpus(seed: int, name: str) -> int:
    """24 to about 32,000, small sites being the most; from dice of its own, so that all others fall as they did."""
    dice = random.Random(f"{seed} {name}")  # noqa: S311 (sizes of a demo)
    return 8 * round(10 ** dice.uniform(0.5, 3.6))
