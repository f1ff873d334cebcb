"""What sites wish, as a view of the record that holds it: of each thing, what was said last counts."""

from __future__ import annotations

from datetime import datetime

from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.sites.wishes import AllWishes, OptOut, Pin, Window, Windows, Wishes, window_of

#: Name of the one record, which is never closed.
RECORD = RolloutPath.SITES.value


def wishes_in(record: Rollout, at: datetime) -> AllWishes:
    """What every site wishes, by this record, as it counts at this moment."""
    of_site: dict[str, list[Fact]] = {}
    for fact in record.facts:
        if fact.subject:
            of_site.setdefault(fact.subject, []).append(fact)
    return AllWishes(at, {site: _wishes(facts) for site, facts in of_site.items()})


def _wishes(facts: list[Fact]) -> Wishes:
    windows: set[Window] = set()
    pins: dict[tuple[str, str], Pin] = {}
    out: OptOut | None = None
    for fact in facts:
        says = fact.payload
        match fact.kind:
            case FactKind.SITE_WINDOW_SET:
                said = {window_of(says["days"], says["begins"], says["ends"])} if says["days"] else set()
                windows = said | (windows if says.get("beside") else set())
            case FactKind.SITE_WINDOW_LIFTED:
                windows = windows - {window_of(says["days"], says["begins"], says["ends"])}
            case FactKind.SITE_VERSION_PINNED:
                pin = Pin(says["metapackage"], says["version"], says["reason"], fact.at)
                pins[pin.metapackage.lower(), pin.version] = pin
            case FactKind.SITE_PIN_LIFTED:
                pins.pop((says["metapackage"].lower(), says["version"]), None)
            case FactKind.SITE_OPTED_OUT:
                out = OptOut(says["reason"], fact.at)
            case FactKind.SITE_OPTED_IN:
                out = None
    return Wishes(Windows.of(windows), tuple(pins[key] for key in sorted(pins)), out)
