"""Writes the configuration folder with which the product finds the sandbox grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pps.config.loader import read_yaml
from pps.domain.sites.site import Infrastructure
from pps.sandbox.grid.landscape import ROCS
from pps.sandbox.grid.site import SandboxSite

#: VO -> its list at example.org. These give feedback; the VO that carries the tags does not.
VOS: Mapping[str, str] = {vo: f"{vo}-vo-support@example.org" for vo in ("atlas", "cms", "lhcb", "biomed")}

#: Role -> its list; where its people read that something waits for them.
ROLE_CONTACTS: Mapping[str, str] = {
    "Release Manager": "release-managers@example.org",
    "PPS Coordinator": "pps-coordination@example.org",
    "EMT": "emt@example.org",
}

#: Why the provider of the sandbox need not sign: the reason that package_keys asks for, and that the bulletin shows.
WHY_UNSIGNED = "The sandbox makes these packages itself, and serves them on this machine only."

#: config/policies.yaml of this checkout.
DEFAULT_CONFIG = Path(__file__).resolve().parents[4] / "config"

#: What a demo cannot wait for; everything else is config/policies.yaml as it stands.
_DEMO_POLICIES: Mapping[str, Mapping[str, object]] = {
    "site_limits": {"connect_s": 5, "silence_s": 20, "total_s": 180},
    "publication": {"seen_within": "60s", "check_every": "1s"},
    "distribution": {"check_every": "1s"},
    "feedback": {"open_for": "30s", "check_every": "1s"},
    "certification": {"check_every": "1s", "wait_at_most": "1h"},
    "local_configuration": {"answer_within": "60s", "check_every": "1s"},
    "deployment_test": {"answer_within": "60s", "check_every": "1s", "wait_at_most": "1h"},
    "release_test": {
        "answer_working_days": 0.0007,  # one minute, on any day of the week
        "working_weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        "decide_within": "1h",
    },
    "overrule": {"answer_within": "60s"},
    "pilots": {
        "answer_within": "60s",
        "set_up_within": "60s",
        "minor_runs_for": "10s",
        "major_runs_for": "15s",
        "feedback_within": "15s",
        "probe_every": "1s",
        "incident_after": "3s",
        "roll_back_within": "60s",
        "check_every": "1s",
        "report_within": "60s",
        "wrap_up_within": "60s",
        "meeting_after": "1s",
        "meeting_lasts": "1s",
    },
    "withdrawal": {"gone_within": "30s", "check_every": "1s"},
}
#: Where a person tries it out: everything that people do has the time that people need in an afternoon, and what
#: machines do stays as quick as in a demo.
HUMAN_PACE: Mapping[str, Mapping[str, object]] = {
    "feedback": {"open_for": "8h"},
    "local_configuration": {"answer_within": "4h"},
    "deployment_test": {"answer_within": "4h", "wait_at_most": "1d"},
    "certification": {"wait_at_most": "3d"},
    "release_test": {"answer_working_days": 0.5, "decide_within": "1d"},
    "overrule": {"answer_within": "4h"},
    "pilots": {
        "answer_within": "4h",
        "set_up_within": "4h",
        "minor_runs_for": "10m",
        "major_runs_for": "20m",
        "feedback_within": "4h",
        "roll_back_within": "4h",
        "report_within": "4h",
        "wrap_up_within": "4h",
        "meeting_after": "1m",
        "meeting_lasts": "1m",
    },
}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the central services of the sandbox listen."""

    public_url: str
    tracker_url: str
    bdii_url: str
    smtp_host: str
    smtp_port: int
    repository_url: str
    """of the provider's repositories, and of our mirrors below it"""


def demo_policies(policies: Path, changes: Mapping[str, Mapping[str, object]] = _DEMO_POLICIES) -> dict[str, Any]:
    """policies.yaml with shorter times; `changes` maps section and key to the demo's value."""
    values: dict[str, Any] = read_yaml(policies)
    return values | {section: values[section] | dict(keys) for section, keys in changes.items()}


def change_policies(folder: Path, changes: Mapping[str, Mapping[str, object]]) -> None:
    """Other values in a written configuration; section -> key -> value."""
    if changes:
        _write(folder / "policies.yaml", demo_policies(folder / "policies.yaml", changes))


def change_file(folder: Path, file: str, values: Mapping[str, object]) -> None:
    """Other values of a file in a written configuration, e.g. folders of service.yaml in an object store."""
    if values:
        _write(folder / file, read_yaml(folder / file) | dict(values))


def write_configuration(
    folder: Path, sites: Iterable[SandboxSite], addresses: Addresses, ssh_key_file: Path, store: Path
) -> None:
    """Write the files of config/, each aside and renamed.

    Args:
        store: folder for artefacts, production repository and published pages.
    """
    sites = tuple(sites)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "sites.yaml", {"ssh_key_file": str(ssh_key_file), "sites": [_site(s) for s in sites]})
    rocs = sorted({s.plan.roc for s in sites}, key=list(ROCS).index)
    people = {
        "vos": [
            {"name": vo, "contact": address, "representatives": ["vo-representative"]} for vo, address in VOS.items()
        ],
        "rocs": [{"name": roc, "contact": f"roc-{roc.lower()}-support@example.org"} for roc in rocs],
        "roles": read_yaml(DEFAULT_CONFIG / "people.yaml")["roles"],
        "role_contacts": dict(ROLE_CONTACTS),
        "providers": [
            {
                "name": "sandbox-provider",
                "contact": "provider@example.org",
                "representatives": ["software-provider"],
                "products": ["glite-WN", "glite-UI", "glite-CREAM"],
            }
        ],
    }
    _write(folder / "people.yaml", people)
    places = {
        "artefact_store": store / "artefacts",
        "production_repository": store / "production",
        "mirror_folder": store / "mirror",
        "publication_folder": store / "www",
    }
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    service = {
        "public_url": addresses.public_url,
        "bdii_url": addresses.bdii_url,
        "smtp_host": addresses.smtp_host,
        "smtp_port": addresses.smtp_port,
        "smtp_security": "none",
        "mail_from": "pps-support@example.org",
        "reply_to": "pps-feedback@example.org",
        "mirror_url": f"{addresses.repository_url}/mirror",
        "package_keys": {addresses.repository_url: {"unsigned_over_http": WHY_UNSIGNED}},
        **{key: place.as_uri() for key, place in places.items()},
    }
    _write(folder / "service.yaml", service)
    _write(folder / "tracker.yaml", {"kind": "roundup", "url": addresses.tracker_url})
    _write(folder / "scenarios.yaml", {"scenarios": _scenarios(sites)})
    _write(folder / "pools.yaml", {"pools": _pools(sites)})
    _write(folder / "policies.yaml", demo_policies(DEFAULT_CONFIG / "policies.yaml"))
    _write(folder / "activities.yaml", read_yaml(DEFAULT_CONFIG / "activities.yaml"))


def _scenarios(sites: Iterable[SandboxSite]) -> list[dict[str, object]]:
    """Clean roots on this machine for clients and the piloted service, one of another architecture for clients, and
    the PPS member site for its region, if any.
    """
    plans = [site.plan for site in sites]
    platform = plans[0].platform
    # a VO wants it, and nobody on one machine can run it: inconclusive is an outcome of its own
    other = replace(platform, arch="amd64" if platform.arch == "arm64" else "arm64")
    found: list[dict[str, object]] = [
        {
            "name": f"wn-{platform.os}-clean",
            "platform": str(platform),
            "node_type": "WN",
            "origin": {"coordination": "PPS"},
            "runner": "automatic",
        },
        {
            "name": f"wn-{other.os}-{other.arch}",
            "platform": str(other),
            "node_type": "WN",
            "origin": {"vo": next(iter(VOS))},
            "runner": "automatic",
        },
        {
            "name": f"wms-{platform.os}-clean",
            "platform": str(platform),
            "node_type": "WMS",
            "origin": {"coordination": "PPS"},
            "runner": "automatic",
        },
    ]
    for plan in plans:
        if plan.infrastructure is Infrastructure.PPS:
            origin = {"region": plan.roc}
            found.append(
                {
                    "name": f"wn-{plan.platform.os}-torque",
                    "platform": str(plan.platform),
                    "node_type": "WN",
                    "system": "torque",
                    "origin": origin,
                    "runner": plan.name,
                    "mandatory": False,
                }
            )
    return found


def _pools(sites: Iterable[SandboxSite]) -> list[dict[str, object]]:
    """One pool per region, with two of its production sites at most: somebody has to answer for each."""
    by_roc: dict[str, list[str]] = {}
    for plan in (site.plan for site in sites):
        if plan.infrastructure is Infrastructure.PRODUCTION:
            by_roc.setdefault(plan.roc, []).append(plan.name)
    return [{"name": roc.lower(), "roc": roc, "sites": names[:2]} for roc, names in by_roc.items()]


def administrator_of(site: str) -> str:
    """User name in Airflow of the people of a sandbox site."""
    return f"admin-{site.lower()}"


def _site(site: SandboxSite) -> dict[str, object]:
    plan, folder = site.plan, site.folder
    place = {"latitude": plan.latitude, "longitude": plan.longitude, "cpus": plan.cpus}
    return {
        "name": plan.name,
        "roc": plan.roc,
        "platform": str(plan.platform),
        "ssh": {"host": site.host, "port": site.port, "user": plan.account, "host_key": site.host_key},
        "preview_root": str(folder.preview_root),
        "production_root": str(folder.production_root),
        "profile_d": str(folder.profile_d),
        "tag_dir": str(folder.tag_dir),
        "subcluster": plan.subcluster,
        "contact": f"grid-admin@{plan.domain}",
        "infrastructure": str(plan.infrastructure),
        "accepts_previews": plan.accepts_previews,
        "canary": plan.canary,
        "partner_levels": [str(level) for level in plan.partner_levels],
        "timezone": plan.timezone,
        "administrators": [administrator_of(plan.name)],
        **{key: value for key, value in place.items() if value is not None},
    }


def _write(path: Path, values: Mapping[str, object]) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(
        "# Written by the sandbox grid at each start; edit config/ instead.\n"
        + yaml.safe_dump(dict(values), sort_keys=False)
    )
    part.replace(path)
