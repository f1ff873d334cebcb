from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from markupsafe import escape
from tests.support import signing
from tests.support.bad_input import HTML, JINJA, TEXTS
from tests.support.desks import at_desk
from tests.support.examples import AUDIENCE, DUE, NOW, PATCH, SECRET, SITES, previewed, sqlite_store, templates
from tests.support.snapshots import matches_snapshot

from pps.activities.packages.repository_use import how_to_use
from pps.activities.people import notification
from pps.activities.people.notification import Audience, Party
from pps.activities.people.tokens import invitation_token
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.base.texts import one_line
from pps.domain.packages.patch import Patch, Repository, RepositoryKind
from pps.domain.people.feedback import feedback_due, invited_vos
from pps.domain.people.overruling import Overruling, Urgency
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout


@pytest.fixture
def store() -> FactStore:
    return sqlite_store()


def dated(store: FactStore, patch: Patch = PATCH) -> Rollout:
    record = previewed(store, patch)
    payload = {"due": DUE.isoformat()}
    store.record(Fact(record.name, FactKind.FEEDBACK_DATE_AGREED, "", "", NOW, "pps", payload))
    return store.rollout(record.name)


def tell_all(store: FactStore, record: Rollout, patch: Patch = PATCH, audience: Audience = AUDIENCE) -> list[int]:
    return [
        notification.broadcast(
            at_desk(record, store, templates=templates(), patch=patch, now=NOW, actor="pps"), audience
        ),
        notification.invite_originators(
            at_desk(record, store, templates=templates(), patch=patch, now=NOW, actor="pps"), audience
        ),
        notification.tell_failed_sites(at_desk(record, store, templates=templates(), now=NOW, actor="pps"), SITES),
    ]


@pytest.mark.sd("4.1.1", step=6)
def test_each_vo_and_roc_gets_one_mail_and_each_vo_its_own_invitation(store: FactStore) -> None:
    record = dated(store)
    assert (
        notification.broadcast(
            at_desk(record, store, templates=templates(), patch=PATCH, now=NOW, actor="pps"), AUDIENCE
        )
        == 4
    )
    mails = {m.to: m for m, _, _ in store.outbox(record.name)}
    assert set(mails) == {p.address for p in (*AUDIENCE.vos, *AUDIENCE.rocs)}
    for vo in AUDIENCE.vos:
        token = invitation_token(SECRET, record.name, vo.name, feedback_due(record))
        assert token in mails[vo.address].text
        assert token in mails[vo.address].html
        assert not any(token in m.text + m.html for to, m in mails.items() if to != vo.address)
    assert invited_vos(store.rollout(record.name)) == {"atlas", "ops"}


@pytest.mark.sd("4.1.1", step=7)
def test_each_originator_gets_one_mail_with_all_their_bugs(store: FactStore) -> None:
    record = dated(store)
    assert (
        notification.invite_originators(
            at_desk(record, store, templates=templates(), patch=PATCH, now=NOW, actor="pps"), AUDIENCE
        )
        == 2
    )
    support = next(m for m, _, _ in store.outbox(record.name) if m.to == "user-support@example.org")
    assert support.subject == "Your bugs 31415, 16180: please verify the fix in glite-WN 3.1.23"
    assert "27182" not in support.text
    assert "please try again what went wrong" in support.text


def test_what_is_repeated_queues_nothing_whether_or_not_the_caller_knows_the_newest_facts(store: FactStore) -> None:
    record = dated(store)
    assert tell_all(store, record) == [4, 2, 2]
    queued = store.outbox(record.name)
    assert tell_all(store, record) == [0, 0, 0]
    assert tell_all(store, store.rollout(record.name)) == [0, 0, 0]
    assert store.outbox(record.name) == queued


def test_a_vo_that_joins_later_is_invited_and_the_others_not_again(store: FactStore) -> None:
    record = dated(store)
    tell_all(store, record)
    more = dataclasses.replace(AUDIENCE, vos=(*AUDIENCE.vos, Party("cms", "cms@example.org")))
    assert (
        notification.broadcast(
            at_desk(store.rollout(record.name), store, templates=templates(), patch=PATCH, now=NOW, actor="pps"), more
        )
        == 1
    )


def test_nobody_is_invited_before_the_date_is_agreed(store: FactStore) -> None:
    with pytest.raises(NotYetAllowedError, match="date for feedback"):
        notification.broadcast(
            at_desk(previewed(store), store, templates=templates(), patch=PATCH, now=NOW, actor="pps"), AUDIENCE
        )


def test_a_site_is_told_once_for_each_time_of_trouble(store: FactStore) -> None:
    record = dated(store)

    def happens(kind: FactKind, night: int, **payload: str) -> None:
        at = NOW + timedelta(days=night)
        store.record(Fact(record.name, kind, "INFN-BARI", f"night-{night}", at, "pps", payload))

    def told() -> int:
        return notification.tell_failed_sites(
            at_desk(store.rollout(record.name), store, templates=templates(), now=NOW, actor="pps"), SITES
        )

    assert told() == 2
    happens(FactKind.SITE_FAILED, 1, reason="still no answer")
    happens(FactKind.PREVIEW_INSTALLED, 2)
    happens(FactKind.PROBES_FAILED, 2, reason="probes fail")
    assert told() == 0, "the trouble goes on"
    happens(FactKind.TAG_ADDED, 3)
    assert told() == 0, "it is well"
    happens(FactKind.PROBES_FAILED, 4, reason="the site was reinstalled")
    assert told() == 1
    mail = store.outbox(record.name)[-1][0]
    assert "the site was reinstalled" in mail.text
    assert "not announced" not in mail.text, "its tag is still published"


def test_a_site_that_left_the_registry_is_not_told(store: FactStore) -> None:
    assert (
        notification.tell_failed_sites(at_desk(dated(store), store, templates=templates(), now=NOW, actor="pps"), {})
        == 0
    )


@pytest.mark.parametrize("text", [*HTML, *JINJA, *TEXTS])
def test_text_of_the_tracker_stays_text_in_every_mail(store: FactStore, text: str) -> None:
    bug = dataclasses.replace(PATCH.bugs[0], title=text)
    patch = dataclasses.replace(PATCH, title=text, bugs=(bug,), release_notes=text, special_configuration=text)
    record = dated(store, patch)
    tell_all(store, record, patch)
    mails = [m for m, _, _ in store.outbox(record.name)]
    shown = str(escape(one_line(text)))
    assert all(shown in m.html for m in mails if m.to in ("atlas-grid@example.org", "roc-italy@example.org"))
    for mail in mails:
        assert "<" not in text or text not in mail.html
        assert len(mail.subject.splitlines()) == 1
        assert not set(mail.text + mail.html) & set("\x00\x1b\u202e\u2028\ud800")


@pytest.mark.parametrize(
    ("recipient", "snapshot"),
    [
        ("atlas-grid@example.org", "invitation_vo.txt"),
        ("roc-italy@example.org", "broadcast.txt"),
        ("user-support@example.org", "invitation_originator.txt"),
        ("grid-lip-lisbon@example.org", "site_failed_probes.txt"),
        ("grid-infn-bari@example.org", "site_failed_unreachable.txt"),
    ],
)
@pytest.mark.sd("4.1.1", step=6)
def test_the_mails_read_as_they_were_reviewed(store: FactStore, recipient: str, snapshot: str) -> None:
    record = dated(store)
    tell_all(store, record)
    mail = next(m for m, _, _ in store.outbox(record.name) if m.to == recipient)
    matches_snapshot(snapshot, f"Subject: {mail.subject}\n\n{mail.text}")


@pytest.mark.parametrize("template", ["rollout_stopped.txt", "released.txt"])
def test_the_mails_of_an_ending_read_as_they_were_reviewed(store: FactStore, template: str) -> None:
    record = dated(store)
    view = {
        "rollout": record.name,
        "opened": record.need(FactKind.ROLLOUT_OPENED, "").payload,
        "reasons": ["4 of 6 sites failed; the failure budget allows 3.", "PIC: no answer on port 22 in 20 s."],
        "platforms": ["debian12-amd64"],
        "tarball": "glite-WN-3.1.23-PPS-0123456789ab",
        "announced": True,
        "packages": ["voms-clients_2.1.0.deb", "gfal2-util-scripts_1.8.0.deb"],
        "overruled": None,
        **SOURCE,
    }
    matches_snapshot(template, templates().render(template, view))
    assert "<html" in templates().render(template.replace(".txt", ".html"), view)


RELEASED = Repository(RepositoryKind.APT, "https://packages.example.org/apt", "production", ("main",))
SOURCE = {
    "repository": RELEASED,
    "how_to_use": how_to_use(RELEASED, "pps-production", signing.KEYS, templates()),
    "notes_link": "https://pps.example.org/pps/release-notes/bc-client-4711-1.html",
    "bill_link": "https://pps.example.org/pps/release-notes/bc-client-4711-1.cdx.json",
    "licences_link": "https://pps.example.org/pps/release-notes/bc-client-4711-1.licences",
    "verification_link": "https://pps.example.org/pps/release-notes/bc-client-4711-1.verification.asc",
    "release_notes": "",
}


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("template", ["released", "released_overruled", "released_pilot", "released_update"])
def test_a_release_that_was_overruled_does_not_claim_that_it_was_tried(store: FactStore, template: str) -> None:
    record = dated(store)
    by = (("EMT", "emil"), ("PPS Coordinator", "carla"))
    reason = "Anybody can read everybody's proxies.\n<script>alert(1)</script>"
    view = {
        "rollout": record.name,
        "opened": record.opened,
        "platforms": ["debian12-amd64"],
        "packages": ["voms-clients_2.1.0.deb"],
        "tarball": "glite-WN-3.1.23-PPS-0123456789ab",
        **SOURCE,
        "no_feedback": True,
        "ran_at": 1,
        "tried_at": 1,
        "overruled": Overruling(Urgency.URGENT, reason, by, NOW, "In certification"),
    }
    text, html = (templates().render(f"{template}.{kind}", view) for kind in ("txt", "html"))
    assert "certified" not in text
    assert "nobody has waited for feedback" in " ".join(text.split())
    assert "Anybody can read everybody's proxies." in text
    assert "<script>" not in html
    if template == "released_overruled":
        matches_snapshot(f"{template}.txt", text)


def test_the_jdl_snippet_selects_the_tag(store: FactStore) -> None:
    record = dated(store)
    tell_all(store, record)
    mail = next(m for m, _, _ in store.outbox(record.name) if m.to == "atlas-grid@example.org")
    ((name, mime_type, text),) = mail.attachments
    assert (name, mime_type) == ("requirement.jdl", "text/plain")
    matches_snapshot(name, text)


def withdrawn(store: FactStore, reason: str) -> list[str]:
    """Everything that is written about a withdrawal: subjects, texts, pages."""
    record = dated(store)
    tell_all(store, record)
    store.record(
        Fact(record.name, FactKind.WITHDRAWAL_ASKED, "", "", NOW, "coordinator", {"reason": reason}),
        Fact(record.name, FactKind.TAGS_GONE, "", "", NOW, "pps", {"still_shown": ["PIC"]}),
        Fact(record.name, FactKind.PREVIEW_REMOVED, "LIP-Lisbon", "", NOW, "pps", {"reason": reason}),
    )
    sites = {name: dataclasses.replace(site, contact="grid-sites@example.org") for name, site in SITES.items()}
    desk = at_desk(store.rollout(record.name), store, templates=templates(), now=NOW, actor="pps")
    told = (desk, sites, "pps@example.org", AUDIENCE.public_url)
    assert notification.tell_of_withdrawal(*told) == 8
    assert notification.tell_of_withdrawal(*told) == 0
    mails = [m for m, _, _ in store.outbox(record.name) if "/told/" in m.key]
    return [f"To: {m.to}\nSubject: {m.subject}\n\n{m.text}{m.html}" for m in mails]


def test_a_site_with_two_addresses_tells_both_of_a_withdrawal(store: FactStore) -> None:
    record = dated(store)
    tell_all(store, record)
    both = "first@example.org, second@example.org"
    sites = {name: dataclasses.replace(site, contact=both) for name, site in SITES.items()}
    people = dict(notification.people_to_tell_of_withdrawal(record, sites, "pps@example.org"))
    assert people["first@example.org"] == people["second@example.org"] != ()
    assert both not in people


def test_the_mail_of_a_withdrawal_reads_as_it_was_reviewed_and_each_address_gets_one(store: FactStore) -> None:
    texts = withdrawn(store, "The new client corrupts files larger than 2 GB.")
    sites = next(t for t in texts if t.startswith("To: grid-sites@"))
    matches_snapshot("withdrawn.txt", sites.partition("<!DOCTYPE")[0])
    assert len({t.partition("\n")[0] for t in texts}) == len(texts)
    assert not any("What sites must do" in t for t in texts if t is not sites)


@pytest.mark.parametrize("text", [*HTML, *JINJA, *TEXTS])
def test_a_reason_stays_text_in_the_mail_of_a_withdrawal(store: FactStore, text: str) -> None:
    for mail in withdrawn(store, text):
        page = mail.partition("<!DOCTYPE")[2]
        assert "<" not in text or text not in page
        assert not set(mail) & set("\x00\x1b\u202e\u2028\ud800")
