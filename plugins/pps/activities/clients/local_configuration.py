"""Local configuration of a non-backward-compatible client by each site's own people (SD 4.1.2, step 3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from pps.activities.desk import Desk
from pps.activities.ports.packages import Tarball
from pps.domain.base.errors import RefusedError
from pps.domain.base.texts import clean_text, one_line
from pps.domain.clients.batches import in_batches
from pps.domain.packages.patch import Patch
from pps.domain.people.questions import Given
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import ONE_SITE, Rollout
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import Site

STEP = "local-configuration"
CONFIGURED = "Configured"
CANNOT = "Cannot configure it"
OPTIONS = (CONFIGURED, CANNOT)

_OFFERED = (SiteState.TAGGED, SiteState.AVAILABLE)
_COMING = (SiteState.PLANNED, SiteState.INSTALLED, SiteState.CONFIGURED, SiteState.TESTED)


def sites_to_configure(record: Rollout) -> tuple[str, ...]:
    """Planned sites that have the preview: each is asked, and goes on, at its own pace."""
    return tuple(site for site in record.planned_sites if record.holds_preview(site))


def batch_of(site: str) -> str:
    """The batch of one site alone, so that it waits for no other."""
    return f"{ONE_SITE}{site}"


def instructions(record: Rollout, patch: Patch, site: Site, tarball: Tarball, due: datetime) -> Mapping[str, Any]:
    """The view of the template `ask_local_configuration.md`."""
    return {
        "rollout": record.name,
        "patch": patch,
        "site": site,
        "prefix": f"{site.preview_root}/{tarball.name}",
        "local": f"{site.preview_root}/{tarball.name}.local",
        "variables": record.variables_to_set,
        "required": record.required_variables,
        "patterns": {name: file for name, file in record.required_variables.items() if "*" in name},
        "due": due,
    }


def facts_of_answer(desk: Desk, site: str, given: Given) -> tuple[Fact, ...]:
    """What follows from an answer: the site is configured, or left out with its people's reason.

    Raises:
        RefusedError: the form does not say what was set, or why it cannot be done.
    """
    settings = clean_text(str(given.form.get("settings") or "")).strip()
    remarks = clean_text(str(given.form.get("remarks") or "")).strip()
    if given.choice == CONFIGURED:
        if missing := [name for name in desk.rollout.variables_to_set if name not in settings]:
            raise RefusedError(
                f"configuration of {site}",
                (f"The answer does not say how {', '.join(missing)} was set.",),
                "Name each variable with its value, one a line.",
            )
        payload = {"settings": settings, "remarks": remarks, "user": given.user}
        return (desk.fact(FactKind.SITE_CONFIGURED, site, "", payload),)
    if not remarks:
        raise RefusedError(f"configuration of {site}", ("The remarks do not say why it cannot be done.",))
    return (_left_out(desk, site, f"Its people cannot configure it: {one_line(remarks)}"),)


def facts_of_silence(desk: Desk, site: str, due: datetime) -> tuple[Fact, ...]:
    """What follows when nobody answered in time: the site is left out, and nobody else waits for it."""
    return (_left_out(desk, site, f"Nobody there has configured it by {due:%Y-%m-%d %H:%M} UTC."),)


def _left_out(desk: Desk, site: str, reason: str) -> Fact:
    return desk.fact(FactKind.SITE_LEFT_OUT, site, "configuration", {"reason": reason})


def tell_left_out(desk: Desk, site: Site) -> int:
    """Tell a site that it was left out, and why; returns how many mails are new."""
    progress = desk.rollout.progress(site.name)
    if progress.state is not SiteState.LEFT_OUT:
        return 0
    opened = desk.rollout.opened
    told = desk.fact(FactKind.TOLD, site.name, "left-out", {"reason": progress.reason})
    view = {"rollout": desk.name, "opened": opened, "site": site, "reason": progress.reason}
    mail = desk.letter(
        "site_left_out",
        view,
        key=told,
        to=site.contact,
        subject=f"{site.name} is left out: preview of {opened['metapackage']} {opened['version']}",
    )
    return len(desk.record(told, mails=[mail]))


def is_offered(record: Rollout, enough: int) -> bool:
    """Tell whether it is time to tell the VOs: enough sites offer the preview, or no further one can come.

    Nobody waits for a site that is slow at its configuration; it joins the bulletin when it is ready.
    """
    if record.is_over:
        return True
    states = [p.state for p in record.all_progress(record.planned_sites)]
    return sum(s in _OFFERED for s in states) >= enough or not any(s in _COMING for s in states)


def plan_of(sites: Iterable[Site], size: int, last: Collection[str] = ()) -> dict[str, list[str]]:
    """Batches `silver-1`, `silver-2`, ... in the order of names: delivery only, so nobody has to be first."""
    names = sorted(site.name for site in sites)
    return {f"silver-{n}": batch for n, batch in enumerate(in_batches(names, size, last), 1)}
