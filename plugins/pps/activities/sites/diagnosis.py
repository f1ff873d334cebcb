"""Would a site take a preview today? One login, one small script, findings that say what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget
from pps.activities.sites.batch import in_turns
from pps.activities.sites.login_errors import cleaned
from pps.activities.sites.script import load_script, run_script
from pps.domain.base.errors import HostKeyError, RolloutError
from pps.domain.sites.places import Places
from pps.domain.sites.site import Site

_LEAST_FREE_KIB = 1024 * 1024  # ours: a full client unpacks to some 100 MB, and the version before stays
_MOST_SKEW_S = 300


class Health(StrEnum):
    """Outcome of one check."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a diagnosis."""

    subject: str
    health: Health
    text: str
    next_step: str = ""


def failure(subject: str, error: RolloutError) -> Finding:
    """An error of ours as a finding."""
    return Finding(subject, Health.FAIL, f"{error.subject}: {error.why}", error.next_step)


def site_check_script() -> str:
    """Text of the script that runs at the site."""
    return load_script("site_check.sh")


_FOLDER_FAILURES = {
    ("preview_root", "not-writable"): "Let the account {user} write to it.",
    ("preview_root", "full"): "Free space there, or raise the quota of {user}.",
    ("tag_dir", "not-writable"): "Let the account {user} write to it; without tags no job finds the preview.",
    ("tag_dir", "full"): "Free space there, or raise the quota of {user}.",
    ("production_root", "missing"): "Correct production_root in sites.yaml; production is compared before and after.",
    ("production_root", "not-readable"): "Let the account {user} read it; production is compared before and after.",
}
_FOLDER_WARNINGS = {
    (
        "profile_d",
        "missing",
    ): "Previews there inherit no local settings; correct profile_d in sites.yaml if that is wrong.",
    ("profile_d", "not-readable"): "Let the account {user} read it; previews inherit its settings.",
}

_TAG_LISTS = {
    "no-file": "the list of our tags below {} is no file.",
    "not-writable": "our account may not write to the list of our tags below {}, so no tag is set or taken away.",
    "not-to-be-made": "our account may not create the list of our tags below {}.",
}


def findings_at(site: Site, lines: Sequence[str], now: datetime) -> tuple[Finding, ...]:
    """Judge what the script printed; a site without complaint gives one line that is OK."""
    said = [(key, value) for key, _, value in (line.partition(" ") for line in lines)]
    if ("site-check", "1") not in said or ("end", "1") not in said:
        why = "the check ended early; the login shell or a limit of the account stopped it."
        return (Finding(site.name, Health.FAIL, why, f"Log in as {site.login.user} and run sh by hand."),)
    findings = []
    if missing := [value for key, value in said if key == "no-tool"]:
        why = f"the account has no {', '.join(missing)}."
        findings.append(
            Finding(site.name, Health.FAIL, why, "Install busybox or coreutils, or correct the account's PATH.")
        )
    values = dict(said)
    for table, health in ((_FOLDER_FAILURES, Health.FAIL), (_FOLDER_WARNINGS, Health.WARN)):
        for (folder, state), step in table.items():
            if values.get(folder) == state:
                why = f"{folder} {getattr(site, folder)} is {state.replace('-', ' ')}."
                findings.append(Finding(site.name, health, why, step.format(user=site.login.user)))
    if (state := values.get("tag_list", "")) in _TAG_LISTS:
        step = f"Let the account {site.login.user} write to it, as its owner or by its group."
        findings.append(Finding(site.name, Health.FAIL, _TAG_LISTS[state].format(site.tag_dir), step))
    if unsafe := cleaned(values.get("preview_root_unsafe", "")):
        why = f"others could change previews there: {unsafe}."
        step = f"Ask {site.contact} to do that; until then nothing is installed there."
        findings.append(Finding(site.name, Health.FAIL, why, step))
    free = values.get("free_kib", "")
    if free.isdecimal() and int(free) < _LEAST_FREE_KIB:
        why = f"only {int(free) // 1024} MiB are free under {site.preview_root}."
        findings.append(Finding(site.name, Health.WARN, why, "Free space, or remove old previews."))
    clock = values.get("clock", "")
    if clock.isdecimal() and abs(skew := int(clock) - int(now.timestamp())) > _MOST_SKEW_S:
        why = f"its clock is {abs(skew)} s {'ahead' if skew > 0 else 'behind'}."
        findings.append(Finding(site.name, Health.WARN, why, "Set its clock; grid certificates depend on it."))
    if findings:
        return tuple(findings)
    room = f", {int(free) // 1024:,} MiB free" if free.isdecimal() else ""
    return (Finding(site.name, Health.OK, f"{site.login.user}@{site.login.host} takes previews{room}."),)


async def diagnose_site(
    site: Site, target: SshTarget, shell: SiteShell, limits: SiteLimits, now: datetime, tag_vo: str
) -> tuple[Finding, ...]:
    """Log in with the pinned key and look; every failure becomes a finding."""
    arguments = (site.preview_root, site.production_root, site.profile_d, site.tag_dir, site.subcluster, tag_vo)
    try:
        output = await run_script(shell, target, site_check_script(), arguments, limits)
    except HostKeyError as error:
        step = error.next_step or "Ask the site's administrator for the new key, by another way than this connection."
        return (Finding(site.name, Health.FAIL, error.why, step),)
    except RolloutError as error:
        step = error.next_step or f"Check for a downtime, then ask {site.contact}."
        return (Finding(site.name, Health.FAIL, error.why, step),)
    return findings_at(site, output.lines, now)


async def diagnose_sites(
    sites: Iterable[tuple[Site, SshTarget]],
    shell: SiteShell,
    limits: SiteLimits,
    now: datetime,
    at_once: int,
    *,
    tag_vo: str,
) -> tuple[Finding, ...]:
    """Look at many sites, `at_once` of them at the same time; findings come in the order given."""

    async def one(place: tuple[Site, SshTarget]) -> tuple[Finding, ...]:
        return await diagnose_site(*place, shell, limits, now, tag_vo)

    found = await in_turns(one, tuple(sites), Places(at_once))
    return tuple(finding for findings in found for finding in findings)
