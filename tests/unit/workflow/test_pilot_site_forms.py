"""The three questions of a pilot to a site's people, and its waits, as Airflow's tasks put them (no Airflow runs)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from tests.support.desks import at_desk, front, is_over
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, MemoryTracker, services, site, write_config  # noqa: F401
from tests.support.pilot_runs import ANA, GOLD, SERVER, SUPPORT, APilot, endpoint_at

from pps.activities.pilots import report as pilot_report
from pps.activities.pilots import roll_back as pilot_roll_back
from pps.activities.pilots import set_up as pilot_setup
from pps.domain.base.errors import RefusedError
from pps.domain.people.questions import Given
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.sites.probes import ProbeState
from pps.domain.sites.site import PartnerLevel
from pps.workflow.form_book import FORMS
from pps.workflow.pilots import at_sites as forms
from pps.workflow.waits import WAITS


class Clock:
    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at


class NoMail:
    def send(self, mails: Any, accepted: Any = lambda key: None) -> dict[str, str]:
        for mail in mails:
            accepted(mail.key)
        return {}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pilot() -> APilot:
    return APilot()


@pytest.fixture
def s(services: MemoryServices, pilot: APilot, clock: Clock) -> MemoryServices:
    sites = [
        site(
            name,
            partner_levels=[PartnerLevel.GOLD.value],
            administrators=["ana"],
            services=[{"type": "org.glite.wms", "host": GOLD[name].services[0].host}],
        )
        for name in ("PIC", "INFN-T1")
    ]
    config = write_config(services.config.folder, sites)
    given = {
        "clock": clock,
        "facts": pilot.store,
        "tracker": MemoryTracker(SERVER),
        "templates": templates(),
        "service_probes": pilot.services,
        "information_system": pilot.published,
        "mailer": NoMail(),
        "publication_folder": services.publication_folder,
    }
    return MemoryServices(config, lambda _: None, given)


def given(choice: str, **form: Any) -> Given:
    return Given(choice, form, "ana", NOW)


GOOD = {"endpoint": endpoint_at("PIC"), "version": "3.1.23", "version_at": None, "previous": "3.1.22", "remarks": None}


def test_all_three_are_known_by_their_names() -> None:
    assert {pilot_setup.STEP, pilot_roll_back.STEP, pilot_report.STEP} <= FORMS.keys()


@pytest.mark.sd("4.1.3", step=7)
def test_the_set_up_is_asked_of_the_site_s_own_people_until_the_agreed_date(s: MemoryServices, pilot: APilot) -> None:
    asked = forms.SET_UP.prepare(front(s, pilot.record), "PIC")
    assert asked.due == NOW + timedelta(days=7)
    assert asked.assigned_to == ("user:ana",)
    assert "Selectable in the JDL." in asked.body
    assert "Install it from" not in asked.body
    mirror = {"mirror": "pilot/0a1b", "kind": "apt", "suite": "preview", "components": ["main"]}
    pilot.store.record(Fact(pilot.name, FactKind.MIRROR_MADE, "", "", NOW, "pps", mirror))
    line = (
        f"deb [signed-by=/etc/apt/keyrings/pps-archive-keyring.asc] {s.mirror_url.rstrip('/')}/pilot/0a1b preview main"
    )
    assert line in forms.SET_UP.prepare(front(s, pilot.record), "PIC").body, "an address, from which APT can install"
    pilot.set_up("PIC")
    assert forms.SET_UP.prepare(front(s, pilot.record), "PIC") is None
    assert forms.SET_UP.prepare(front(s, pilot.record), "NOWHERE") is None


def test_a_slip_is_refused_with_what_we_saw_and_the_form_alone_is_judged_without_a_look(
    s: MemoryServices, pilot: APilot
) -> None:
    form = forms.SET_UP
    assert form.check is not None
    assert form.check(front(s, pilot.record), "PIC", given(pilot_setup.SET_UP, **GOOD)) == ()
    assert pilot.services.looked == []
    with pytest.raises(RefusedError, match="the pilot's is"):
        form.check(front(s, pilot.record), "PIC", given(pilot_setup.SET_UP, **GOOD | {"version": "3.1.22"}))
    with pytest.raises(RefusedError, match="does not answer"):
        form.follow(front(s, pilot.record), "PIC", given(pilot_setup.SET_UP, **GOOD))
    assert pilot.mails() == [], "whoever refuses an answer tells why; a second mail would say the same"
    pilot.answers("PIC")
    assert form.follow(front(s, pilot.record), "PIC", given(pilot_setup.SET_UP, **GOOD)) == ()


def test_silence_leaves_the_site_out(s: MemoryServices, pilot: APilot) -> None:
    due = (NOW + timedelta(days=7)).isoformat()
    pilot.fact(FactKind.QUESTION_ASKED, "PIC", pilot_setup.STEP, due=due, to="", title="")
    (fact,) = forms.SET_UP.silence(front(s, pilot.record), "PIC")
    assert (fact.kind, fact.subject) == (FactKind.SITE_LEFT_OUT, "PIC")


@pytest.mark.sd("4.1.3", step=7)
def test_the_wait_for_the_set_up_looks_itself_and_credits_the_site_once(
    s: MemoryServices, pilot: APilot, clock: Clock
) -> None:
    wait = partial(is_over, s, "pilot_is_set_up", rollout=pilot.name, site="PIC")
    pilot.says("PIC").answers("PIC")
    clock.at = NOW + timedelta(hours=2)
    assert not wait()
    assert WAITS["pilot_is_set_up"].every(s.config.policies) == timedelta(minutes=1)
    pilot.published.show("PIC", "3.1.23")
    for _ in range(2):
        assert wait()
    assert len(pilot.kinds(FactKind.SERVICE_SET_UP)) == 1
    (credit,) = pilot.kinds(FactKind.CREDITED)
    assert (credit.payload["activity"], credit.payload["credits"], credit.payload["person"]) == (
        "pilot-setup",
        12,
        "ana",
    )


@pytest.mark.sd("4.1.3", step=8)
def test_the_run_waits_without_a_worker_and_probes_at_the_interval_of_the_policy(
    s: MemoryServices, pilot: APilot, clock: Clock
) -> None:
    pilot.set_up()
    wait = partial(is_over, s, "pilot_run_is_over", rollout=pilot.name)
    clock.at = NOW + timedelta(hours=3)
    assert not wait()
    assert WAITS["pilot_run_is_over"].every(s.config.policies) == timedelta(minutes=10)
    clock.at = NOW + timedelta(days=15)
    assert wait()
    assert wait()
    assert [f.payload["outcome"] for f in pilot.kinds(FactKind.RUN_ENDED)] == ["expired"]


def test_an_incident_s_mail_leaves_with_the_look_that_saw_it(s: MemoryServices, pilot: APilot, clock: Clock) -> None:
    pilot.set_up().answers("PIC", ProbeState.CRITICAL)
    for hours in (3, 4):
        clock.at = NOW + timedelta(hours=hours)
        assert not is_over(s, "pilot_run_is_over", rollout=pilot.name)
    assert {mail.to for mail, sent, _ in pilot.store.outbox(pilot.name) if sent} == {
        "pps-support@localhost",
        "admin@pic.example.org",
    }


@pytest.mark.sd("4.1.3", step=8)
def test_a_roll_back_is_asked_promptly_and_only_when_somebody_wants_it(
    s: MemoryServices, pilot: APilot, clock: Clock
) -> None:
    pilot.set_up("PIC")
    assert forms.ROLL_BACK.prepare(front(s, pilot.record), "PIC") is None
    why = "Jobs are lost when the queue is full."
    clock.at = NOW + timedelta(hours=30)
    pilot_roll_back.ask_roll_back(
        at_desk(pilot.record, pilot.store, templates=templates(), now=clock.at), GOLD["PIC"], why, "ana", ANA, SUPPORT
    )
    asked = forms.ROLL_BACK.prepare(front(s, pilot.record), "PIC")
    assert asked.due == clock.at + timedelta(days=1)
    assert why in asked.body and "version 3.1.22 back" in asked.body
    (said,) = forms.ROLL_BACK.follow(
        front(s, pilot.record), "PIC", given(pilot_roll_back.DONE, version="3.1.22", remarks=None)
    )
    assert said.kind is FactKind.JOURNAL_ENTRY
    wait = partial(is_over, s, "pilot_is_rolled_back", rollout=pilot.name, site="PIC")
    assert not wait()
    pilot.answers("PIC", version="3.1.22")
    pilot.published.show("PIC", "3.1.22")
    assert wait()
    assert Pilot(pilot.record).rolled_back("PIC")


@pytest.mark.sd("4.1.3", step=9)
def test_the_report_is_asked_for_after_the_run_credited_and_written(
    s: MemoryServices, pilot: APilot, clock: Clock
) -> None:
    pilot.set_up()
    assert forms.POST_MORTEM.prepare(front(s, pilot.record), "PIC") is None
    clock.at = NOW + timedelta(days=15)
    assert pilot.look_at(clock.at)
    asked = forms.POST_MORTEM.prepare(front(s, pilot.record), "PIC")
    assert asked.due == clock.at + timedelta(days=5)
    assert "glite-WMS 3.1.23" in asked.body
    form = {"set_up": None, "resources": "As before.", "stability": "No restart.", "issues": None}
    (credit,) = forms.POST_MORTEM.follow(front(s, pilot.record), "PIC", given(pilot_report.REPORT, **form))
    assert (credit.payload["activity"], credit.payload["credits"]) == ("pilot-post-mortem", 4)
    forms.POST_MORTEM.after(front(s, pilot.record), "PIC")
    assert (s.publication_folder.root / "pilots" / pilot.name / "PIC.txt").read_text().startswith("Pilot of glite-WMS")
