"""What demos look at when a run has ended: the world, not only the facts. What is wrong becomes a problem."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from pps.config.loader import Configuration
from pps.domain.base.errors import ServiceError
from pps.domain.packages.patch import PackageRef, Patch, PatchState
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.record.site_states import FAILURES, SiteState
from pps.sandbox.demo.play import Demo, DemoSummary
from pps.sandbox.grid.smtp import kept_mails, read_mail

_WELL = ("OK", "WARNING")


def has(record: Rollout, kind: FactKind, subject: str) -> bool:
    """Tell whether this has happened to this site, VO, ..."""
    return any(f.kind is kind and f.subject == subject for f in record.facts)


def sites(demo: Demo, record: Rollout, summary: DemoSummary) -> list[dict[str, str]]:
    """One row per site: what is on record, what the site holds, what the information system shows."""
    there, seen = demo.sites_there(), demo.tags_seen()
    built = record.the(FactKind.TARBALL_BUILT)
    tarball = str(built.payload["name"]) if built else ""
    rows = []
    for progress in record.all_progress():
        site = progress.site
        holds = tarball if tarball in there[site]["previews"] else ""
        tag = str(record.tag) if str(record.tag) in seen[site] else ""
        if progress.state is SiteState.AVAILABLE:
            why = f"{site} is on record as available, but holds {holds!r} and shows {tag!r}."
            summary.expect(holds and tag, why)
        elif progress.state in (*FAILURES, SiteState.LEFT_OUT):
            summary.expect(progress.reason, f"{site} is {progress.state} without a reason.")
            summary.expect(not tag, f"{site} is {progress.state}, but announces {tag}.")
        row = {"site": site, "state": progress.state.value, "holds": holds, "tag": tag, "reason": progress.reason}
        rows.append(
            {**row, "probes": _probes(record, site), "seen": "yes" if tag else "", "so": progress.reason or holds}
        )
    return rows


def _probes(record: Rollout, site: str) -> str:
    tested = [
        f for f in record.facts if f.subject == site and f.kind in (FactKind.PROBES_PASSED, FactKind.PROBES_FAILED)
    ]
    results = tested[-1].payload["results"] if tested else []
    return f"{sum(r['state'] in _WELL for r in results)}/{len(results)}" if results else ""


def told_of_a_preview(config: Configuration, patch: Patch) -> set[str]:
    """Whom SD 4.1.1, 6 and 7, names: VOs, ROCs, and the originators of the bugs."""
    people = config.people
    return {vo.contact for vo in people.vos} | {roc.contact for roc in people.rocs} | {b.originator for b in patch.bugs}


def mails(demo: Demo, summary: DemoSummary, expected: Iterable[str]) -> None:
    """Everybody who should have got a mail has one, and nobody got one twice."""
    kept = kept_mails(demo.mails)
    summary.mails = [(", ".join(m.recipients), m.subject) for m in kept]
    got = {r for m in kept for r in m.recipients}
    for address in sorted(set(expected) - got):
        summary.problems.append(f"{address} got no mail.")
    ids = [read_mail(demo.mails, m)["Message-ID"] for m in kept]
    summary.expect(len(set(ids)) == len(ids), "A mail was sent twice.")


def mail_to(demo: Demo, summary: DemoSummary, address: str, subject: str) -> str:
    """The text of the newest mail to somebody with these words in its subject, attachments included; "" if none."""
    for kept in reversed(kept_mails(demo.mails, to=address)):
        if subject in kept.subject:
            message = read_mail(demo.mails, kept)
            parts = [p.get_content() for p in message.walk() if p.get_content_type() == "text/plain"]
            return "\n".join(parts)
    summary.problems.append(f"{address} got no mail about {subject!r}.")
    return ""


def release_notes(demo: Demo, summary: DemoSummary, rollout: str) -> str:
    """The published release notes on one line, without the marks of quoting and wrapping; "" if there are none."""
    file = demo.www / "release-notes" / f"{rollout}.txt"
    summary.places["release notes"] = file
    text = published(demo, summary, file)
    summary.texts["Release notes, in short"] = shortened(text)
    return " ".join(text.replace("\n> ", "\n").split())


def shortened(notes: str) -> str:
    """Release notes without the long lists of packages and sites, which are above or in the file."""
    sections: list[list[str]] = [[]]
    lines = notes.split("\n")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line and len(following) >= 3 and set(following) == {"-"}:
            sections.append([])
        sections[-1].append(line)
    kept = [s for s in sections if s[:1] not in (["Packages"], ["Results at the sites"])]
    return "\n".join(line for section in kept for line in section).strip()


def published(demo: Demo, summary: DemoSummary, file: Path) -> str:
    """A file of the publication folder; "" if it is not there."""
    if file.exists():
        return file.read_text(encoding="utf-8")
    summary.problems.append(f"There is no {file.relative_to(demo.www)} below {demo.www}.")
    return ""


def in_production(demo: Demo, summary: DemoSummary, patch: Patch, *, tarball: bool) -> None:
    """The tracker says so, and the production repository has every package (and the client tarball)."""
    tracker_says(demo, summary, patch, PatchState.IN_PRODUCTION)
    refs = {*patch.packages, *patch.externals}
    there = fetched(demo, patch, summary)
    if missing := sorted(map(str, refs - there)):
        summary.problems.append(f"Not in the production repository: {', '.join(missing)}.")
    if tarball:
        files = list(demo.production.glob("tarballs/*/*.tar.gz"))
        summary.expect(files, "The client tarball is not in the production repository.")


def not_in_production(demo: Demo, summary: DemoSummary, patch: Patch, state: PatchState) -> None:
    """Nothing of the patch has gone out, and the tracker says why it has not: it is in this state."""
    tracker_says(demo, summary, patch, state)
    if out := sorted(map(str, fetched(demo, patch, summary))):
        summary.problems.append(f"In production, though not released: {', '.join(out)}.")


def fetched(demo: Demo, patch: Patch, summary: DemoSummary) -> set[PackageRef]:
    """The patch's packages that the index of the production repository lists, and that can be got from there."""
    index = demo.services.production_packages.open(patch.repository.kind)
    got = set()
    with tempfile.TemporaryDirectory(prefix="pps-demo-") as folder:
        for ref, package in index.newest((*patch.packages, *patch.externals)).items():
            if package.ref != ref:
                continue  # another version
            try:
                index.fetch(package, Path(folder)).unlink()
            except ServiceError as error:
                summary.problems.append(str(error))
            got.add(ref)
    return got


def tracker_says(demo: Demo, summary: DemoSummary, patch: Patch, state: PatchState) -> None:
    """The patch has this state."""
    found = demo.services.tracker.patch(patch.number).state
    summary.expect(found is state, f"The tracker says that the patch is {found.value!r}, not {state.value!r}.")


def places(demo: Demo, summary: DemoSummary, *more: str) -> None:
    """Where everything that was made is to be found; each must be there."""
    known = {
        "production repository": demo.production,
        "sites": demo.installation.grid_folder / "sites",
        "release bulletin": demo.www / "bulletin.html",
    }
    summary.places |= {what: known[what] for what in ("release bulletin", *more)}
    summary.places |= {"mails": demo.mails, "Airflow's logs": demo.installation.folder / "airflow" / "logs"}
    for what, path in summary.places.items():
        summary.expect(path.exists(), f"There is no {what} at {path}.")
