"""Publication of the tag in the information system (SD 4.1.1, step 4), and its withdrawal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pps.activities.clients.putting_off import put_off
from pps.activities.desk import Desk
from pps.activities.ports.services import InformationSystem, Matchmaker
from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget
from pps.activities.sites.batch import Door, Scribe, serve_sites
from pps.activities.sites.script import load_script, run_script
from pps.domain.base.errors import NotYetAllowedError, SiteBusyError, SiteError, SiteRefusedError, SiteUnreachableError
from pps.domain.packages.tags import RunTimeEnvironmentTag, jdl_requirement
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.site_states import SiteState
from pps.domain.sites.probes import ProbeResult, ProbeState
from pps.domain.sites.site import Site

_END = re.compile(r"PPS-VOTAG-END (listed|added|present|removed|absent|refused|busy|failed) ?(.*)")
_PUBLISHED = (SiteState.TAGGED, SiteState.AVAILABLE)
Action = Literal["list", "add", "remove"]


@dataclass(frozen=True, slots=True)
class TagAnswer:
    """What `votag.sh` answered: `word` is listed, added, present, removed or absent."""

    word: str
    tags: frozenset[str] = frozenset()


async def manage_tag(
    action: Action, site: Site, tag: RunTimeEnvironmentTag, *, target: SshTarget, shell: SiteShell, limits: SiteLimits
) -> TagAnswer:
    """List, add or remove a tag in a site's tag directory, with lcg-ManageVOTag's semantics.

    Adding a tag that is there, and removing one that is not, changes nothing and says so.

    Raises:
        SiteBusyError: somebody else is changing the list.
        SiteRefusedError: the list cannot be changed (no directory, disk full, not ours), or there was no answer.
        SiteUnreachableError: as the channel raises it.
    """
    arguments = [action, site.tag_dir, site.subcluster, tag.vo, *([] if action == "list" else [str(tag)])]
    output = await run_script(shell, target, load_script("votag.sh"), arguments, limits)
    end = _END.fullmatch(output.lines[-1]) if output.lines else None
    if end is None or output.lines[0] != "PPS-VOTAG 1":
        raise SiteRefusedError(
            site.name, f"the tag script gave no answer (exit {output.exit_code}).", "Look at the account's login there."
        )
    word, text = end[1], "".join(c for c in end[2] if c.isprintable())[:300]
    if word == "busy":
        raise SiteBusyError(site.name, f"{text}.", "Try again.")
    if word in ("refused", "failed"):
        raise SiteRefusedError(site.name, f"{text}.", f"Its administrator must look at {site.tag_dir}.")
    return TagAnswer(word, frozenset(line[8:] for line in output.lines if line.startswith("PPS-TAG ")))


async def publish_tags(desk: Desk, tag: RunTimeEnvironmentTag, sites: Sequence[Site], door: Door) -> tuple[Fact, ...]:
    """Add the tag at the sites whose probes have passed, and record TAG_ADDED for each.

    A site whose probes have not passed is left alone: that is the rule (SD 4.1.1, 3 before 4), not an
    error of the batch; so is one whose own wishes stand against it now. One that has the tag on record and in its
    list gets no second fact.

    Raises:
        NotYetAllowedError: the preview was withdrawn.
    """
    record = desk.rollout
    record.must_not_be_withdrawn()
    scribe = Scribe(record, door.occasion, desk.now, door.actor)

    async def one(site: Site) -> Fact | None:
        try:
            record.may_tag(site.name)
        except NotYetAllowedError:
            return None
        if put_off(desk, site, tag=True):
            return None
        published = record.progress(site.name).state in _PUBLISHED
        try:
            answer = await manage_tag("add", site, tag, target=door.target(site), shell=door.shell, limits=door.limits)
        except SiteUnreachableError:
            if published:
                return None  # jobs there can go on; the next look will tell
            raise
        if answer.word not in ("added", "present"):
            raise SiteRefusedError(site.name, f"the tag script answered {answer.word!r}.")
        if desk.facts.has(record.name, FactKind.WITHDRAWAL_ASKED):
            # Asked while we were at it. The withdrawal may have been here before us, so the tag goes again; if it
            # is asked after this line, the withdrawal comes by after us.
            await manage_tag("remove", site, tag, target=door.target(site), shell=door.shell, limits=door.limits)
            return None
        if answer.word == "present" and published:
            return None
        return desk.by(door.actor).fact(
            FactKind.TAG_ADDED, site.name, door.occasion, {"tag": str(tag), "changed": answer.word == "added"}
        )

    return await serve_sites(sites, one, scribe, desk, step="publish tag", places=door.places)


async def withdraw_tags(
    desk: Desk,
    tag: RunTimeEnvironmentTag,
    sites: Sequence[Site],
    door: Door,
    *,
    reason: str,
    failed: Callable[[Site, SiteError], Fact | None] | None = None,
) -> tuple[Fact, ...]:
    """Remove the tag at these sites, and record TAG_REMOVED with the reason where it was published.

    Asks every given site, whatever its facts say: a tag whose fact was lost in a crash goes, too.

    Args:
        failed: what a site's error becomes; without it, SITE_FAILED.
    """

    scribe = Scribe(desk.rollout, door.occasion, desk.now, door.actor)

    async def one(site: Site) -> Fact | None:
        answer = await manage_tag("remove", site, tag, target=door.target(site), shell=door.shell, limits=door.limits)
        if answer.word not in ("removed", "absent"):
            raise SiteRefusedError(site.name, f"the tag script answered {answer.word!r}.")
        if answer.word == "absent" and not desk.rollout.announces(site.name):
            return None
        payload = {"tag": str(tag), "reason": reason, "changed": answer.word == "removed"}
        return scribe.fact(FactKind.TAG_REMOVED, site, payload)

    return await serve_sites(sites, one, scribe, desk, step="withdraw tag", places=door.places, failed=failed)


def probe_publication(
    site: Site, tag: RunTimeEnvironmentTag, seen: Mapping[str, frozenset[str]], matchmaker: Matchmaker | None = None
) -> ProbeResult:
    """Probe 9: the information system shows the tag, and the JDL that we tell the users matches the site.

    Without a ClassAd library the second half is not judged, which is a WARNING.

    Args:
        seen: what the information system answered for the SubClusters.
    """
    name = "publication"
    if site.subcluster not in seen:
        return ProbeResult(
            name, ProbeState.CRITICAL, f"the information system does not know the SubCluster {site.subcluster}"
        )
    tags = seen[site.subcluster]
    # caseIgnoreIA5Match, in the schema and in ClassAds
    if str(tag).lower() not in {t.lower() for t in tags}:
        return ProbeResult(name, ProbeState.CRITICAL, f"{site.subcluster} does not show {tag} yet", f"tags={len(tags)}")
    if matchmaker is None:
        return ProbeResult(
            name,
            ProbeState.WARNING,
            f"{site.subcluster} shows {tag}; no ClassAd library to try the JDL",
            f"tags={len(tags)}",
        )
    if not matchmaker.matches(jdl_requirement(tag), sorted(tags)):
        return ProbeResult(
            name,
            ProbeState.CRITICAL,
            f"{site.subcluster} shows {tag}, but the JDL does not match it",
            f"tags={len(tags)}",
        )
    return ProbeResult(
        name, ProbeState.OK, f"{site.subcluster} shows {tag}, and the JDL matches it", f"tags={len(tags)}"
    )


def tags_seen(
    desk: Desk,
    information_system: InformationSystem,
    sites: Sequence[Site],
    tag: RunTimeEnvironmentTag,
    *,
    occasion: str,
    matchmaker: Matchmaker | None = None,
) -> dict[str, str]:
    """Look once whether the information system shows the tag of the TAGGED sites; record TAG_SEEN for those.

    Returns:
        Site -> why it is missing, for those that are TAGGED still ("installed, not published"). The
        caller decides how long to wait; being missing is no failure.

    Raises:
        ServiceError: the information system does not answer.
    """
    waiting = [site for site in sites if desk.rollout.progress(site.name).state is SiteState.TAGGED]
    if not waiting:
        return {}
    seen = information_system.tags_of([site.subcluster for site in waiting])
    if desk.facts.has(desk.name, FactKind.WITHDRAWAL_ASKED):
        return {}  # it is the tag's end that is waited for now
    scribe = Scribe(desk.rollout, occasion, desk.now, desk.actor)
    missing = {}
    for site in waiting:
        result = probe_publication(site, tag, seen, matchmaker)
        if result.state is ProbeState.CRITICAL:
            missing[site.name] = result.text
            continue
        payload = {
            "tag": str(tag),
            "subcluster": site.subcluster,
            "probe": {**asdict(result), "state": result.state.name},
        }
        desk.record(scribe.fact(FactKind.TAG_SEEN, site, payload))
    return missing
