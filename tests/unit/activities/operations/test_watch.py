"""What is measured of an installation: bounded words, nothing of what has ended, and never an untrue number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support.examples import DUE, NOW, PATCH, SITES, asked, opened, previewed, sqlite_store
from tests.support.pilot_runs import APilot
from upath import UPath

from pps.activities.operations.health import Rooms, health, worst
from pps.activities.operations.numbers import GAUGES, Sample
from pps.activities.operations.signatures import signed_until
from pps.activities.operations.watch import BACKUP, EVERY, TRACKER, Watch, World
from pps.activities.packages.production import SUITE
from pps.activities.packages.uploads import upload_repository
from pps.activities.ports.operations import Limits, Night
from pps.activities.ports.people import Mail
from pps.activities.release.signing import OwnIndex
from pps.activities.sites.diagnosis import Health
from pps.adapters.record.store import FactStore
from pps.config.policy_models import WatchPolicy
from pps.domain.base.errors import ServiceError
from pps.domain.packages.patch import Repository, RepositoryKind
from pps.domain.record.facts import Fact, FactKind

LIMITS: Limits = WatchPolicy().to_activity()
DAY = timedelta(days=1)


def broken(*_: object) -> Any:
    raise ServiceError("a service", "does not answer.", "Wait.")


@dataclass
class Around:
    """The world around the record."""

    store: FactStore
    now: datetime = NOW
    night: Callable[[], Night | None] = lambda: Night(NOW - timedelta(hours=9), failed=False)
    signed: Mapping[str, datetime] = field(default_factory=lambda: {"production": NOW + 10 * DAY})
    tracker: Callable[[], object] = lambda: None
    asked: int = 0
    signatures_read: int = 0

    def watch(self) -> Watch:
        def ask() -> object:
            self.asked += 1
            return self.tracker()

        def signatures(now: datetime) -> Mapping[str, datetime]:
            self.signatures_read += 1
            return self.signed

        world = World(lambda: self.store, self.night, signatures, ask)
        return Watch(world, lambda: self.now, aside=lambda work: work())


@pytest.fixture
def around() -> Iterator[Around]:
    made = Around(sqlite_store())
    yield made
    made.store.dispose()


def values(samples: list[Sample], name: str) -> dict[tuple[str, ...], float]:
    return {s.labels: s.value for s in samples if s.gauge.name == name}


def told(around: Around, watch: Watch | None = None) -> dict[str, tuple[Health, str]]:
    rooms = Rooms(schema_is_current=lambda: True, read_pages=lambda: True)
    found = health(watch or around.watch(), rooms, LIMITS, around.now)
    return {f.subject: (f.health, f.text) for f in found}


def test_sites_and_failures_are_counted_by_product_and_class_and_no_label_tells_of_a_site_or_a_person(
    around: Around,
) -> None:
    record = asked(around.store, previewed(around.store))
    APilot(store=around.store, vos=["atlas", "cms"])
    question = {"step": "x", "due": (NOW + DAY).isoformat(), "to": "ana@example.org", "title": "t", "assigned_to": []}
    around.store.record(Fact(record.name, FactKind.QUESTION_ASKED, "PIC", "x", NOW, "pps", question))
    seen = around.watch().samples(NOW)
    product = (PATCH.metapackage, PATCH.version)
    assert values(seen, "pps_rollouts_open") == {("bc-client", "preview"): 1, ("major-pilot", "set-up"): 1}
    sites = {labels[2]: n for labels, n in values(seen, "pps_preview_sites").items() if labels[:2] == product and n}
    assert sites == {"available": 2, "tagged": 1, "installed, not announced": 1, "failed": 1, "left out": 1}
    assert values(seen, "pps_preview_sites_failed") == {(*product, "unreachable"): 1, (*product, "probes"): 1}
    assert values(seen, "pps_questions_open")["bc-client",] == 1
    assert values(seen, "pps_questions_overdue")["bc-client",] == 0
    assert values(seen, "pps_vos_silent")["bc-client",] == 0, "they have time until the agreed date"

    later = around.watch().samples(DUE + DAY)
    assert values(later, "pps_questions_overdue")["bc-client",] == 1
    assert values(later, "pps_vos_silent")["bc-client",] == 2

    labels = {value for s in (*seen, *later) for value in s.labels}
    assert not labels & {*SITES, "ana", "ana@example.org", "atlas", "cms", record.name}
    assert not any("@" in value or "." in value for value in labels - {PATCH.version})
    assert {s.gauge for s in seen} <= set(GAUGES)


def test_what_has_ended_is_not_read_and_what_is_open_is_read_again_only_with_something_new(around: Around) -> None:
    for number in range(30):
        name = opened(around.store, replace(PATCH, number=5000 + number), run=f"t/{number}").name
        around.store.close(Fact(name, FactKind.ROLLOUT_CLOSED, "", "", NOW, "pps", {}))
    record = previewed(around.store)
    read: list[str] = []
    standing = around.store.standing

    def spied(names: Collection[str], as_of: datetime | None = None) -> Any:
        read.extend(names)
        return standing(names, as_of)

    around.store.standing = spied  # type: ignore[method-assign]
    watch = around.watch()
    watch.samples(NOW)
    assert read == [record.name]
    watch.samples(NOW + DAY)
    assert read == [record.name]
    around.store.record(Fact(record.name, FactKind.TAG_SEEN, "IFIC-LCG2", "canary", NOW, "pps", {}))
    seen = watch.samples(NOW + DAY)
    assert read == [record.name] * 2
    assert values(seen, "pps_preview_sites")[PATCH.metapackage, PATCH.version, "available"] == 3
    # the clock of whoever closes it goes before ours
    around.store.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", NOW + 2 * DAY, "pps", {}))
    assert values(watch.samples(NOW + DAY), "pps_rollouts_open") == {}


def test_the_outbox_is_told_by_channel_with_the_age_of_its_oldest_and_what_nobody_tries(around: Around) -> None:
    record = previewed(around.store)
    mails = [Mail(f"{record.name}/{n}", "a@example.org", "s", "t", "") for n in range(3)]
    room = Mail(f"{record.name}/room", "emt-room", "s", "t", "", channel="emt-room")
    around.store.record(mails=[*mails, room])
    with around.store._transaction() as connection:
        connection.execute(sa.text("UPDATE outbox SET queued_at = :at"), {"at": "2026-03-01 06:00:00.000000"})
    # two are refused, and will be tried again; one has left; the room's nobody has tried
    around.now = datetime.fromisoformat("2026-03-01T12:00+00:00")
    around.store.mark_refused({mails[0].key: "550", mails[1].key: "550"}, around.now)
    around.store.mark_sent([mails[2].key], around.now)
    seen = around.watch().samples(around.now)
    six = timedelta(hours=6).total_seconds()
    assert values(seen, "pps_outbox_waiting") == {("mail",): 2, ("emt-room",): 1}
    assert values(seen, "pps_outbox_oldest_seconds") == {("mail",): six, ("emt-room",): six}
    assert values(seen, "pps_outbox_due_seconds") == {("mail",): 0, ("emt-room",): six}
    found = told(around)
    assert found["outbox, mail"][0] is Health.OK
    assert found["outbox, emt-room"][0] is Health.FAIL
    assert "due for 6 h, and nobody tries" in found["outbox, emt-room"][1]
    (claimed,) = around.store.unsent(5, around.now, "emt-room")
    assert claimed.key == room.key
    assert told(around)["outbox, emt-room"][0] is Health.OK, "somebody is trying it at this moment"
    around.now += 2 * DAY
    around.store.mark_refused({mails[0].key: "550", mails[1].key: "550", room.key: "404"}, around.now)
    assert told(around)["outbox, mail"] == (
        Health.WARN,
        "2 messages wait; the oldest for 2 days: it is refused again and again.",
    )
    around.store.mark_sent([mails[0].key, mails[1].key, room.key], around.now)
    assert told(around)["outbox"] == (Health.OK, "is empty.")
    assert values(around.watch().samples(around.now), "pps_outbox_oldest_seconds") == {("mail",): 0}


def test_a_message_from_before_that_was_noted_has_no_age_that_would_be_untrue(around: Around) -> None:
    record = previewed(around.store)
    around.store.record(mails=[Mail(f"{record.name}/x", "a@example.org", "s", "t", "")])
    with around.store._transaction() as connection:
        connection.execute(sa.text("UPDATE outbox SET queued_at = NULL"))
    seen = around.watch().samples(NOW)
    assert values(seen, "pps_outbox_waiting") == {("mail",): 1}
    assert values(seen, "pps_outbox_oldest_seconds") == {}
    assert told(around)["outbox, mail"][0] is Health.WARN


def test_a_part_that_cannot_be_read_is_missing_and_says_so_and_the_others_are_there(around: Around) -> None:
    previewed(around.store)
    around.night = broken
    seen = around.watch().samples(NOW)
    assert values(seen, "pps_unread") == {
        ("rollouts",): 0,
        ("outbox",): 0,
        ("nights",): 1,
        ("signatures",): 0,
        ("last seen",): 0,
    }
    assert not values(seen, "pps_night_seconds")
    assert not values(seen, "pps_night_failed")
    assert values(seen, "pps_rollouts_open") == {("bc-client", "preview"): 1}
    around.store.marks = broken  # type: ignore[method-assign]
    seen = around.watch().samples(NOW)
    assert not values(seen, "pps_rollouts_open")
    assert not values(seen, "pps_questions_overdue")
    assert values(seen, "pps_unread")["rollouts",] == 1


def test_the_last_night_tells_how_long_ago_it_ended_and_whether_it_failed(around: Around) -> None:
    seen = around.watch().samples(NOW)
    assert values(seen, "pps_night_seconds") == {(): 9 * 3600}
    assert values(seen, "pps_night_failed") == {(): 0}
    assert told(around)["last night"] == (Health.OK, "ended 9 h ago, and has done all.")
    around.night = lambda: Night(NOW - timedelta(hours=9), failed=True)
    assert values(around.watch().samples(NOW), "pps_night_failed") == {(): 1}
    assert told(around)["last night"][0] is Health.FAIL
    around.night = lambda: Night(NOW - timedelta(hours=27), failed=False)
    assert told(around)["last night"] == (Health.FAIL, "ended 27 h ago; there should be one each night.")
    around.night = lambda: None
    assert values(around.watch().samples(NOW), "pps_night_seconds") == {}
    assert told(around)["last night"] == (Health.WARN, "none has ended yet.")


def test_the_tracker_is_asked_now_and_then_and_since_when_it_is_silent_stands_on_record(around: Around) -> None:
    watch = around.watch()
    assert told(around, watch)["tracker"] == (Health.WARN, "has not been asked yet.")
    assert told(around, watch)["tracker"] == (Health.OK, "answered 0 s ago.")
    watch.samples(around.now)
    around.watch().samples(around.now)
    assert around.asked == 1, "whoever looks asks nobody, and another process knows that it has just answered"
    around.tracker = broken
    around.now += EVERY
    began = around.now
    for _ in range(3):
        watch.samples(around.now)
        around.now += EVERY
    assert around.asked == 4
    seen = watch.samples(around.now)
    assert values(seen, "pps_tracker_missed_seconds") == {(): (around.now - began).total_seconds()}
    assert values(seen, "pps_tracker_seconds") == {(): (around.now - NOW).total_seconds()}
    assert told(around, watch)["tracker"] == (Health.WARN, "has not answered for 15 min; it last answered 20 min ago.")
    # another process knows it, too: it is on record
    around.now += timedelta(hours=1)
    assert told(around, around.watch())["tracker"][0] is Health.FAIL
    around.tracker = lambda: None
    around.now += EVERY
    watch.samples(around.now)
    assert values(watch.samples(around.now), "pps_tracker_missed_seconds") == {(): 0}
    assert told(around, watch)["tracker"] == (Health.OK, "answered 0 s ago.")


def test_a_backup_that_nobody_has_made_is_no_good_news(around: Around) -> None:
    assert told(around)["backup"] == (Health.WARN, "none is on record.")
    assert values(around.watch().samples(NOW), "pps_backup_seconds") == {}
    around.store.saw(BACKUP, NOW - timedelta(hours=3))
    assert told(around)["backup"] == (Health.OK, "was made 3 h ago.")
    assert values(around.watch().samples(NOW), "pps_backup_seconds") == {(): 3 * 3600}
    around.store.saw(BACKUP, NOW - 3 * DAY)
    assert told(around)["backup"][0] is Health.FAIL


def test_signatures_are_read_now_and_then_and_an_end_is_seen_to_the_second(around: Around) -> None:
    watch = around.watch()
    assert values(watch.samples(NOW), "pps_signatures_valid_seconds") == {("production",): 10 * 86400}
    seen = watch.samples(NOW + timedelta(minutes=4))
    assert values(seen, "pps_signatures_valid_seconds") == {("production",): 10 * 86400 - 240}
    assert around.signatures_read == 1
    around.signed = {"production": NOW + 3 * DAY, "mirrors": NOW - DAY}
    around.now += EVERY
    found = told(around, watch)
    assert around.signatures_read == 2
    assert found["signatures, production"][0] is Health.WARN
    assert found["signatures, mirrors"][0] is Health.FAIL


def test_of_several_repositories_the_first_to_expire_counts_and_one_without_an_end_is_over() -> None:
    production = Repository(RepositoryKind.APT, "", SUITE, ("main",))
    yum = Repository(RepositoryKind.YUM, "")
    root = UPath("memory://own")
    indexes = [
        OwnIndex(root / "production", production),
        OwnIndex(root / "yum", yum),
        OwnIndex(root / "a", production, rollout="major-pilot-1-1"),
        OwnIndex(root / "b", production, rollout="minor-pilot-2-1"),
        OwnIndex(root / "c", production, rollout="release-test-3-1"),
        OwnIndex(root / "d", upload_repository(RepositoryKind.APT, "")),
    ]
    ends = {"production": 5, "a": 9, "b": 3}

    def signed(suite: UPath) -> str | None:
        where = suite.parent.parent.name
        if where == "d":
            return None
        end = NOW + ends[where] * DAY if where in ends else None
        return f"Valid-Until: {end:%a, %d %b %Y %H:%M:%S +0000}\n" if end else "Suite: x\n"

    assert signed_until(indexes, signed, NOW) == {
        "production": NOW + 5 * DAY,
        "mirrors": NOW + 3 * DAY,
        "release tests": NOW,
    }


def test_what_cannot_be_looked_at_has_failed_and_the_worst_counts(around: Around) -> None:
    around.night = broken
    around.store.waiting = broken  # type: ignore[method-assign]
    found = health(around.watch(), Rooms(broken, broken), LIMITS, NOW)
    bad = {f.subject for f in found if f.health is Health.FAIL}
    assert bad == {"database", "outbox", "last night", "publication folder"}
    assert {f.text for f in found if f.health is Health.FAIL} == {"could not be looked at."}
    assert worst(found) is Health.FAIL
    assert worst(()) is Health.FAIL, "nothing was looked at, so nothing is known"
    old = health(around.watch(), Rooms(lambda: False, lambda: False), LIMITS, NOW)
    assert {f.subject: f.health for f in old if f.subject in ("database", "publication folder")} == {
        "database": Health.FAIL,
        "publication folder": Health.WARN,
    }


def test_the_record_of_what_was_seen_keeps_the_first_silence_and_forgets_it_with_an_answer() -> None:
    store = sqlite_store()
    store.missed(TRACKER, NOW)
    store.missed(TRACKER, NOW + DAY)
    assert (store.last_seen()[TRACKER].at, store.last_seen()[TRACKER].missed_since) == (None, NOW)
    store.saw(TRACKER, NOW + DAY)
    store.missed(TRACKER, NOW + 2 * DAY)
    assert (store.last_seen()[TRACKER].at, store.last_seen()[TRACKER].missed_since) == (NOW + DAY, NOW + 2 * DAY)
    store.dispose()
