"""Local testing at the sites (SD 4.1.1, step 3): probes in the Nagios convention, one connection a site."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from pps.activities.desk import Desk
from pps.activities.ports.packages import Tarball
from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget
from pps.activities.sites.batch import Door, Scribe, serve_sites
from pps.activities.sites.receiver import PRODUCTION
from pps.activities.sites.script import ScriptOutput, load_script, run_script
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.site_states import FAILURES, SiteState
from pps.domain.sites.probes import ProbeResult, ProbeState, reasons_against_tag
from pps.domain.sites.site import Site


def probes_in(script: str) -> tuple[str, ...]:
    """The names of the probes, in order, as the script itself lists them."""
    listed = re.search(r'^probes="([^"]*)"$', script, re.MULTILINE)
    return tuple(word.partition(":")[0] for word in listed[1].split()) if listed else ()


#: Their names are written once, in the script: a site that reports one less, or one more, has not reported properly.
PROBES = probes_in(load_script("probes.sh"))
_LINE = re.compile(r"PPS-PROBE ([a-z]+) (OK|WARNING|CRITICAL|UNKNOWN) - ([^|]*)\|(.*)")
_PERFDATA = re.compile(r"(?:[A-Za-z_]{1,32}=\d{1,15}B?(?: |$)){0,8}")
_TEXT_AT_MOST = 400
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def read_results(output: ScriptOutput) -> tuple[ProbeResult, ...]:
    """Read what `probes.sh` said; always one result for each probe, in order.

    What a site says is not believed blindly: a probe that is missing, appears twice or is not
    followed by an end has not been run, which is UNKNOWN. Only printable characters get through.
    """
    found: dict[str, ProbeResult] = {}
    twice = set()
    for line in output.lines:
        match = _LINE.fullmatch(line)
        if match is None or match[1] not in PROBES:
            continue
        name, state, text, perfdata = match.groups()
        if name in found:
            twice.add(name)
        clean = "".join(c if c.isprintable() else "?" for c in text)[:_TEXT_AT_MOST].strip()
        found[name] = ProbeResult(name, ProbeState[state], clean, perfdata if _PERFDATA.fullmatch(perfdata) else "")
    whole = (
        output.exit_code == 0
        and output.lines[:1] == ("PPS-PROBES 1",)
        and output.lines[-1:] == (f"PPS-PROBES-END {len(PROBES)}",)
    )
    results = []
    for name in PROBES:
        if name in twice:
            results.append(ProbeResult(name, ProbeState.UNKNOWN, "the site reported this probe twice"))
        elif name in found:
            results.append(found[name])
        else:
            results.append(
                ProbeResult(name, ProbeState.UNKNOWN, f"the site did not report this probe (exit {output.exit_code})")
            )
    if not whole and not reasons_against_tag(tuple(results)):
        results[-1] = ProbeResult(
            PROBES[-1], ProbeState.UNKNOWN, f"the site's report is not whole (exit {output.exit_code})"
        )
    return tuple(results)


_TO_PROBE = (SiteState.INSTALLED, SiteState.CONFIGURED, *FAILURES, SiteState.WITHDRAWN)


async def probe_site(
    site: Site,
    tarball: Tarball,
    production_digest: str,
    *,
    target: SshTarget,
    shell: SiteShell,
    limits: SiteLimits,
    probe_s: int,
    needed: Sequence[str] = (),
) -> tuple[ProbeResult, ...]:
    """Run all probes at one site over one connection; raises what the channel raises.

    Args:
        production_digest: what production was before the preview came, as the distribution recorded it.
        probe_s: how many seconds each probe may take; the connection may be silent that long.
        needed: variables that the site's local configuration must set (SD 4.1.2, 3).
    """
    arguments = (
        f"{site.preview_root}/{tarball.name}",
        tarball.digest,
        site.production_root,
        site.profile_d,
        production_digest if PRODUCTION.fullmatch(production_digest) else "-",
        str(max(4, probe_s)),
        ",".join(name for name in needed if _VARIABLE.fullmatch(name)) or "-",
    )
    patient = replace(limits, silence_s=max(limits.silence_s, probe_s + 10))
    return read_results(await run_script(shell, target, load_script("probes.sh"), arguments, patient))


async def probe(
    desk: Desk, tarball: Tarball, sites: Sequence[Site], door: Door, *, probe_s: int = 60
) -> tuple[Fact, ...]:
    """Probe the sites that have the preview installed; each site's outcome is a fact as soon as it is known.

    A site without the preview is left alone, and one whose probes have passed since it came: a repeated
    task asks nobody twice. One whose probes failed is asked again: it may have been repaired.

    Returns:
        The facts, in the order of `sites`: PROBES_PASSED or PROBES_FAILED with `results` and, if failed, `reason` and
        `announced` (whether a tag from before is still there); SITE_FAILED with `step: probe` where the site could
        not be asked.

    Raises:
        NotYetAllowedError: the preview was withdrawn.
    """
    record = desk.rollout
    record.must_not_be_withdrawn()
    scribe = Scribe(record, door.occasion, desk.now, door.actor)

    async def one(site: Site) -> Fact | None:
        installed = record.installation(site.name)
        if installed is None or record.progress(site.name).state not in _TO_PROBE or not record.may_test(site.name):
            return None
        before = str(installed.payload.get("production_before", ""))
        results = await probe_site(
            site,
            tarball,
            before,
            target=door.target(site),
            shell=door.shell,
            limits=door.limits,
            probe_s=probe_s,
            needed=record.variables_to_set,
        )
        if desk.facts.has(record.name, FactKind.WITHDRAWAL_ASKED):
            return None  # asked meanwhile: a preview that is being removed fails its probes
        payload: dict[str, Any] = {
            "tarball": tarball.name,
            "results": [{**asdict(r), "state": r.state.name} for r in results],
        }
        if reasons := reasons_against_tag(results):
            payload |= {"reason": " ".join(reasons), "announced": record.announces(site.name)}
            return scribe.fact(FactKind.PROBES_FAILED, site, payload)
        return scribe.fact(FactKind.PROBES_PASSED, site, payload)

    return await serve_sites(sites, one, scribe, desk, step="probe", places=door.places)
