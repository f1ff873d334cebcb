"""The note of a run in Airflow: at how many sites the preview is, and why not at the others.

No task fails for a site that fails, so a run is green where sites are not. Airflow keeps one note for a run, which
people write, too: what is theirs stays, and stands above ours. Each line of ours is about one rollout.

A worker may not write notes: Airflow's execution API has no call for it, and its REST API wants a person. So it asks
the api-server (`web.run_notes`), which makes the lines from the facts as they stand then; what it asks is signed with
the installation's own secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from itsdangerous import BadData, URLSafeSerializer

from pps.activities.clients.bulletin import stage
from pps.activities.clients.withdrawal import sites_with_preview
from pps.activities.packages.tracker_states import what_tracker_says
from pps.activities.people.tokens import keys_in
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.base.names import is_name
from pps.domain.base.texts import for_the_public, one_line
from pps.domain.clients.batches import keeps_waiting
from pps.domain.people.feedback import AS_AGREED, Asking, Terms
from pps.domain.people.users import users_in
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout, dossier_name
from pps.domain.record.site_states import REACHED, SiteProgress, SiteState

#: Where workers ask for it, below /pps.
DOOR = "/api/v1/run-note"
#: Airflow's own limit.
LONGEST_NOTE = 1000
#: A line that begins so is ours, every other one is somebody's.
_OURS = "▸ "
_LONGEST_REASON = 90
#: With less room than this for each of them, lines say nothing.
_SHORTEST_LINE = 60


def line_about(
    record: Rollout, at_most: int = LONGEST_NOTE, terms: Terms = AS_AGREED, dossier: Rollout | None = None
) -> str:
    """`bc-client-4711-1 (preview): 6 of 9 sites reached; 2 failed: PIC (no answer in 30 s), ...`

    No longer than `at_most`. The numbers are always whole; where there is no room, sites are counted instead of named.
    It passes the door to the public, so it names no person, and no address of one.

    Args:
        terms: when VOs are asked no longer; what policies.yaml says of it stands in the line while they are asked.
        dossier: of its patch, where there is one.
    """
    names = users_in(record)
    groups = [(word, [_named(p, names) for p in those]) for word, those in _groups(record)]
    head = f"{record.name} ({stage(record)}): {_head(record)}{_awaited(record, terms)}{_tracker(record, dossier)}"
    for shown in range(max((len(those) for _, those in groups), default=0), -1, -1):
        line = "; ".join((head, *(_listed(word, those, shown) for word, those in groups)))
        if len(line) <= at_most:
            return line
    return one_line(line, at_most)


def _head(record: Rollout) -> str:
    because = record.the(FactKind.WITHDRAWAL_ASKED) or record.the(FactKind.ROLLOUT_STOPPED)
    planned = _planned(record)
    if record.is_withdrawn:
        left = sites_with_preview(record)
        head = f"still at {len(left)} of {len(planned)} sites" if left else "it has left all sites"
    elif not planned:
        head = "no site has been planned yet"
    else:
        head = f"{sum(p.state in REACHED for p in planned)} of {len(planned)} sites reached"
    if because is None:
        return head
    said = because.payload.get("reason") or " ".join(because.payload.get("reasons", ()))
    return f"{head}; because: {one_line(for_the_public(str(said), users_in(record)), 200)}"


def _awaited(record: Rollout, terms: Terms) -> str:
    """How many VOs have answered, and how many are enough; "" where the agreed date alone ends the asking."""
    is_asking = record.has(FactKind.FEEDBACK_DATE_AGREED) and not record.has(FactKind.FEEDBACK_ENDED)
    if terms == AS_AGREED or not is_asking or record.is_over:
        return ""
    return f"; {Asking.of(record, terms).sentence.rstrip('.')}"


def _tracker(record: Rollout, dossier: Rollout | None) -> str:
    """Of a release that the tracker does not know, or does not show."""
    out = record.the(FactKind.RELEASED_TO_PRODUCTION)
    said = what_tracker_says(out, dossier or Rollout(dossier_name(record.patch_number), ())) if out else ""
    return f"; released to production. {said.rstrip('.')}" if said else ""


def _planned(record: Rollout) -> list[SiteProgress]:
    """The sites of the agreed plan, and those that came by a night; not those that were never to get it."""
    agreed = frozenset(record.planned_sites)
    return [p for p in record.all_progress() if p.state is not SiteState.LEFT_OUT or p.site in agreed]


def _groups(record: Rollout) -> list[tuple[str, list[SiteProgress]]]:
    """What has to be said beside the number of sites that were reached; what waits for its turn is a number only."""
    wanted = {
        SiteState.FAILED: "failed",
        SiteState.NOT_ANNOUNCED: "installed, but not announced",
        SiteState.LOST: "lost it",
        SiteState.LEFT_OUT: "left out",
    }
    planned = _planned(record)
    found = [(word, [p for p in planned if p.state is state]) for state, word in wanted.items()]
    found.append(("put off", [p for p in planned if p.is_put_off]))
    found.append(("not yet", [p for p in planned if keeps_waiting(p)]))
    if record.is_withdrawn:
        found = []
    return [(word, those) for word, those in found if those]


def _named(p: SiteProgress, names: Iterable[str]) -> str:
    reason = p.reason.removeprefix(f"{p.site}: ").removeprefix(f"{p.site} ")
    first, stop, _ = reason.partition(". ")
    said = one_line(for_the_public(f"{first}{stop}".strip().rstrip("."), tuple(names)), _LONGEST_REASON)
    return f"{p.site} ({said})" if said else p.site


def _listed(word: str, those: list[str], shown: int) -> str:
    named, more = those[:shown], len(those) - shown
    if not named:
        return f"{len(those)} {word}"
    return f"{len(those)} {word}: {', '.join(named)}{f' and {more} more' if more > 0 else ''}"


def note_with(note: str | None, rollout: str, record_of: Callable[[str], Rollout], terms: Terms = AS_AGREED) -> str:
    """The whole note, with the lines of `rollout`, and of those that have one in it already, as they are true now.

    What others have written stays as it is, above ours. The same facts give the same note.

    Args:
        record_of: reads a rollout's facts.
        terms: as for `line_about`.
    """
    given = (note or "").splitlines()
    theirs = "\n".join(line for line in given if not line.startswith(_OURS)).strip()
    ours = [line.removeprefix(_OURS).partition(" ")[0] for line in given if line.startswith(_OURS)]
    records = [record for name in dict.fromkeys((*ours, rollout)) if (record := _found(name, record_of)) is not None]
    room = LONGEST_NOTE - (len(theirs) + 2 if theirs else 0)
    fits = max(0, min(len(records), room // (_SHORTEST_LINE + len(_OURS) + 2)))
    # a line of its own in Airflow's Markdown stands between empty ones
    each = room // fits - len(_OURS) - 2 if fits else 0
    shown = [(r, _found(dossier_name(r.patch_number), record_of)) for r in records[-fits:]] if fits else []
    lines = [f"{_OURS}{line_about(record, each, terms, dossier)}" for record, dossier in shown]
    return "\n\n".join(part for part in (theirs, *lines) if part)


def _found(name: str, record_of: Callable[[str], Rollout]) -> Rollout | None:
    """None for a line that looks like ours, and is about nothing that we know."""
    try:
        return record_of(name) if is_name(name) else None
    except NotYetAllowedError:
        return None


@dataclass(frozen=True, slots=True)
class NoteAsked:
    """What a worker asks the api-server: to write the line of this rollout into the note of this run."""

    dag: str
    run: str
    rollout: str

    def signed(self, secret: bytes) -> str:
        """As text that only who has the installation's secret can make."""
        return _signer(secret).dumps(asdict(self))

    @classmethod
    def read(cls, secret: bytes, text: str) -> NoteAsked | None:
        """What was asked, or None where the text was not signed by us."""
        try:
            return cls(**{key: str(value) for key, value in _signer(secret).loads(text).items()})
        except (BadData, AttributeError, TypeError):
            return None


def _signer(secret: bytes) -> URLSafeSerializer:
    # the library wants the newest key last
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(keys_in(secret)[::-1], b"pps-run-note", signer_kwargs=options)
