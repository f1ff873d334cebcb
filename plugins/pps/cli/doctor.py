"""`pps doctor`: is everything in place, and what to do if not."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from pps.activities.sites.diagnosis import Finding, Health, diagnose_sites, failure
from pps.cli import output
from pps.cli.doctor_airflow import airflow_findings, clock_findings, settings_of
from pps.cli.doctor_folders import folder_findings, without_traces
from pps.cli.doctor_kits import kit_findings
from pps.cli.facts import look_at_chains
from pps.cli.front import Front, front
from pps.cli.nodes import node_findings
from pps.cli.packages.keys import signing_findings
from pps.config.activity_models import ActivitiesFile
from pps.config.base_models import Model
from pps.config.loader import problems_in
from pps.config.people_models import PeopleFile
from pps.config.policy_models import Policies
from pps.config.pool_models import PoolsFile
from pps.config.scenario_models import ScenariosFile
from pps.config.service_models import ServiceFile
from pps.config.site_models import SitesFile
from pps.config.tracker_models import TrackerFile
from pps.domain.base.errors import RolloutError, ServiceError
from pps.domain.packages import interpreter
from pps.domain.sites.site import Site

_FILES: dict[str, type[Model]] = {
    "service.yaml": ServiceFile,
    "policies.yaml": Policies,
    "people.yaml": PeopleFile,
    "sites.yaml": SitesFile,
    "activities.yaml": ActivitiesFile,
    "tracker.yaml": TrackerFile,
    "scenarios.yaml": ScenariosFile,
    "pools.yaml": PoolsFile,
}
_OPTIONAL = ("scenarios.yaml", "pools.yaml")
_SMTP_TIMEOUT_S = 10
_SITES_AT_ONCE = 20


def doctor(
    ctx: typer.Context,
    site: Annotated[
        list[str] | None, typer.Option(metavar="SITE", help="Look at this site only; may be given again.")
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Check configuration, services and sites, and say what to do.

    Changes and makes nothing but its own note of which facts it has verified, also as root. Exit code 1 when anything
    fails; warnings do not count.
    """
    here = front(ctx)
    settings = None if site else settings_of(here)
    with without_traces(settings):
        findings = tuple(_diagnose(here, site or [], settings))
    failed = sum(f.health is Health.FAIL for f in findings)
    if as_json:
        output.say_json(findings)
    else:
        rows = [(f.health, f.subject, f"{f.text} {f.next_step}".strip()) for f in findings]
        warned = sum(f.health is Health.WARN for f in findings)
        output.say(
            output.table(("", "WHAT", "FINDING"), rows),
            f"{len(findings)} checks, {warned} warnings, {failed} failures.",
        )
    if failed:
        raise typer.Exit(1)


def _diagnose(here: Front, only: list[str], settings: dict[str, Any] | None) -> Iterator[Finding]:
    config = here.services.config
    wanted = [config.site(name) for name in only]  # a name that is not in the registry is an error, not a finding
    if not only:
        files = tuple(_file_findings(here))
        yield from files
        yield from _central_findings(here, settings)
        if any(f.subject == "sites.yaml" and f.health is Health.FAIL for f in files):
            return
        wanted = [s for s in config.sites.values() if s.accepts_previews]
    yield from _site_findings(here, wanted)


def _file_findings(here: Front) -> Iterator[Finding]:
    for name, model in _FILES.items():
        if name in _OPTIONAL and not (here.services.config.folder / name).exists():
            continue
        problems = problems_in(here.services.config.folder / name, model)
        for problem in problems:
            yield Finding(name, Health.FAIL, problem, "Correct the file.")
        if not problems:
            yield Finding(name, Health.OK, "is well-formed.")
    if silent := _vos_without_representatives(here):
        why = f"people.yaml names nobody who speaks for {', '.join(silent)}; only the coordination does."
        yield Finding(
            "representatives of VOs", Health.WARN, why, "Add the user names of their people as representatives."
        )


def _vos_without_representatives(here: Front) -> list[str]:
    try:
        return [vo.name for vo in here.services.config.people.vos if not vo.representatives]
    except RolloutError:  # a finding already
        return []


def _central_findings(here: Front, settings: dict[str, Any] | None) -> Iterator[Finding]:
    services = here.services

    checks: tuple[tuple[str, Callable[[Front], Finding]], ...] = (
        ("database", _database),
        ("tracker", _tracker),
        ("information system", _information_system),
        ("mail server", _mail_server),
        ("feedback secret", lambda _: _ok("feedback secret", f"{len(services.feedback_secret)} bytes.")),
    )
    for subject, check in checks:
        finding = _checked(here, subject, check)
        yield finding
        if subject == "database" and finding.health is Health.OK:
            yield _checked(here, "database role", _database_role)
            yield _checked(here, "facts", _facts)
            yield from node_findings(here)
    yield from _channels(here)
    yield from _package_keys(here)
    yield from _mirrors(here)
    yield from signing_findings(here)
    yield from folder_findings(here, settings)
    yield from airflow_findings(here, settings)
    yield from clock_findings(here, settings)
    if why := interpreter.warning(sys.version_info[:3]):
        yield Finding("Python", Health.WARN, why, "Then: make setup")
    if services.ssh_client:
        yield _ok("ssh client", services.ssh_client)
    else:
        why = "the system has no OpenSSH client; asyncssh does the work, at some five times the CPU for big transfers."
        yield Finding("ssh client", Health.WARN, why, "Install openssh-client.")


def _checked(here: Front, subject: str, check: Callable[[Front], Finding]) -> Finding:
    try:
        return check(here)
    except RolloutError as error:
        return failure(subject, error)


def _ok(subject: str, text: str) -> Finding:
    return Finding(subject, Health.OK, text)


def _database(here: Front) -> Finding:
    if not here.services.store_is_current():
        return Finding("database", Health.FAIL, "its schema is older than this version needs.", "Run: pps db upgrade")
    opened = len(here.services.facts.rollouts(open_only=True))
    return _ok("database", f"answers, and its schema is current; {opened} rollouts are open.")


def _database_role(here: Front) -> Finding:
    """The application must not be able to change what is on record (docs/adr/0025)."""
    excess = here.services.facts.too_many_rights()
    if not excess:
        return _ok("database role", "records and reads facts, and can do nothing else to them.")
    why = f"the role of pps_store {', '.join(excess)}: facts could be changed."
    return Finding("database role", Health.WARN, why, "Make a role of its own for the tables: docs/production.md, 2.")


def _facts(here: Front) -> Finding:
    look = look_at_chains(here)
    if broken := look.misfits:
        more = f" {len(broken) - 1} more do not fit." if len(broken) > 1 else ""
        why = f"{broken[0].rollout}: {broken[0].misfit}{more}"
        restored = f" If one was restored, remove {look.note}." if look.note else ""
        step = f"Run: pps facts verify. Then compare with a backup.{restored}"
        return Finding("facts", Health.FAIL, why, step)
    what = f"{sum(v.facts for v in look.read)} facts of {len(look.read)} records, each follows the one before it"
    if look.unchanged:
        what += f"; {look.unchanged} records end as they did when last read. pps facts verify reads all"
    if look.problem:
        why = f"{what}. The note of what was verified could not be kept or used: {look.problem}"
        return Finding("facts", Health.WARN, why, "Until that is mended, each look reads all facts.")
    return _ok("facts", f"{what}.")


def _tracker(here: Front) -> Finding:
    if here.services.config.service.tracker_url is not None:
        why = "tracker_url of service.yaml is no longer read; tracker.yaml says which tracker there is."
        return Finding("tracker", Health.WARN, why, "Remove that line; see docs/tracker.md.")
    if not here.services.credentials("pps_tracker"):
        why = "there is no token for it: nothing could be written there."
        return Finding("tracker", Health.FAIL, why, "Set the Connection pps_tracker: docs/production.md, 4.")
    readings = here.services.tracker.readings()
    if unusable := [r for r in readings if r.patch is None]:
        why = f"answers; {len(unusable)} of its {len(readings)} patches cannot be used."
        return Finding("tracker", Health.WARN, why, "Run: pps tracker check --unusable")
    return _ok("tracker", f"answers to our token; {len(readings)} patches.")


def _information_system(here: Front) -> Finding:
    try:
        sites = [s for s in here.services.config.sites.values() if s.accepts_previews]
    except RolloutError:  # sites.yaml is a finding of its own
        sites = []
    published = here.services.information_system.tags_of([s.subcluster for s in sites])
    if missing := [s.name for s in sites if s.subcluster not in published]:
        why = f"answers, but does not publish the SubClusters of {', '.join(missing)}."
        return Finding("information system", Health.WARN, why, "Correct subcluster in sites.yaml, or ask the sites.")
    return _ok("information system", f"answers; {len(published)} of our SubClusters are published.")


def _mail_server(here: Front) -> Finding:
    service = here.services.config.service
    where = f"{service.smtp_host}:{service.smtp_port}"
    try:
        opener = smtplib.SMTP_SSL if service.smtp_security == "tls" else smtplib.SMTP
        with opener(service.smtp_host, service.smtp_port, timeout=_SMTP_TIMEOUT_S) as smtp:
            if service.smtp_security == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo_or_helo_if_needed()
    except (OSError, smtplib.SMTPException) as error:
        why = f"does not answer as it should ({type(error).__name__}: {error})."
        raise ServiceError(where, why, "Correct smtp_host, smtp_port and smtp_security in service.yaml.") from error
    return _ok("mail server", f"{where} answers ({service.smtp_security}).")


def _channels(here: Front) -> Iterator[Finding]:
    """Chats and webhooks of people.yaml; a bad file is a finding above."""
    try:
        channels = here.services.channels
    except RolloutError:
        return
    for name, channel in channels.items():
        try:
            yield _ok(f"channel {name}", channel.check())
        except RolloutError as error:
            yield failure(f"channel {name}", error)


def _package_keys(here: Front) -> Iterator[Finding]:
    """Who must have signed providers' repositories, and which are believed unsigned; a bad file is a finding above."""
    from pps.adapters.packages.signatures import why_keyring_is_none

    try:
        keys = here.services.config.service.package_keys
        warn = here.services.config.policies.signing.key_ends_warning
    except RolloutError:
        return
    if not keys:
        yield _ok(
            "package_keys", "names no repository yet; until it does, no patch's is believed (docs/production.md, 3)."
        )
    for place, entry in keys.items():
        if entry.reason:
            why = f"{place} is believed without a signature: {entry.reason}"
            yield Finding("package_keys", Health.WARN, why, "Ask the provider to sign.")
        elif why := why_keyring_is_none(here.services.trust_in(place).keyring or Path()):
            yield Finding("package_keys", Health.FAIL, f"the keyring of {place} {why}", "Correct service.yaml.")
        else:
            yield _end_of_keyring(place, here.services.trust_in(place).keyring or Path(), here.now(), warn)


def _end_of_keyring(place: str, keyring: Path, now: datetime, warn: timedelta) -> Finding:
    """A repository is believed as long as one key of its keyring is good; it is better to hear of the end in time."""
    from pps.adapters.packages.openpgp import keys_in
    from pps.adapters.packages.signatures import keys_of

    subject = "package_keys"
    try:
        keys = keys_in(keys_of(keyring))
    except RolloutError as error:
        return Finding(subject, Health.FAIL, f"{keyring}, for {place}: {error.why}", "Correct service.yaml.")
    good = [k for k in keys if not k.revoked and (k.ends is None or k.ends > now)]
    step = "Ask the provider for the newest keys, and add them to the file."
    if not good:
        why = f"all keys of {keyring}, for {place}, have expired or are revoked."
        return Finding(subject, Health.FAIL, why, step)
    ends = [k.ends for k in good if k.ends is not None]
    if len(ends) == len(good) and max(ends) <= now + warn:
        return Finding(subject, Health.WARN, f"the last key for {place} expires on {max(ends):%Y-%m-%d}.", step)
    soon = [k for k in keys if k.revoked or (k.ends is not None and k.ends <= now + warn)]
    more = f" Of its {len(keys)} keys, {len(soon)} have ended or will soon." if soon else ""
    return Finding(subject, Health.OK, f"{place} must be signed by {keyring}.{more}")


def _mirrors(here: Front) -> Iterator[Finding]:
    """Only where mirrors are wanted; a service.yaml that cannot be read has its own finding."""
    try:
        service = here.services.config.service
        if not service.mirror_folder:
            return
    except RolloutError as error:
        yield failure("mirror folder", error)
        return
    if service.mirror_url is None:
        why = "is not set, so sites cannot be told where the mirrors are."
        yield Finding("mirror_url", Health.WARN, why, "Set it; docs/production.md says how the folder is served.")


def _site_findings(here: Front, sites: list[Site]) -> Iterator[Finding]:
    if not sites:
        yield Finding(
            "sites", Health.WARN, "no site of the registry takes previews.", "docs/sites.md says how one joins."
        )
        return
    services = here.services
    try:
        limits = services.config.policies.site_limits.to_port()
        tag_vo = services.config.policies.publication.tag_vo
        there = [site for site in sites if not site.fetches]
        pairs = list(zip(there, services.targets(there), strict=True))
    except RolloutError as error:
        yield failure("sites", error)
        return
    plain = [(site, target) for site, target in pairs if site.kit is None]
    with_kit = [(site, target) for site, target in pairs if site.kit is not None]
    shell = services.shell
    yield from asyncio.run(diagnose_sites(plain, shell, limits, here.now(), _SITES_AT_ONCE, tag_vo=tag_vo))
    closed = [site for site in sites if site.fetches]
    yield from kit_findings(here, with_kit, limits, _SITES_AT_ONCE, closed)
