"""What the people in charge do with a rollout from its page, and that nobody else can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from tests.support.front import (  # noqa: F401
    NOW,
    ROLLOUT,
    MemoryServices,
    a_preview_that_is_out,
    happened,
    services,
)
from tests.unit.web.test_api import airflow_user, ticking
from tests.unit.web.test_pages import Read

from pps.activities.ports.record import OpenRollout
from pps.domain.people.roles import Role
from pps.domain.record.facts import FactKind
from pps.web.app import create_app

PAGE = f"/rollouts/{ROLLOUT}"
WHY = "Jobs are lost at PIC, as two VOs say."


class SomeAirflow:
    """Airflow, of which only the asking is looked at."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.refusal: HTTPException | None = None

    async def __call__(
        self, request: Request, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        self.asked.append((method, path, body and body["conf"]))
        if self.refusal:
            raise self.refusal
        return {"dag_run_id": "manual__2026-03-01T12:00:00+00:00"}


@pytest.fixture
def airflow() -> SomeAirflow:
    return SomeAirflow()


@pytest.fixture
def web(services: MemoryServices, airflow: SomeAirflow) -> TestClient:
    a_preview_that_is_out(services.facts)
    app = create_app(lambda: services, airflow_user, ticking(), airflow=airflow)
    signed_in = {"Authorization": "Bearer good", "X-Test-Role": Role.RELEASE_MANAGER.value, "Accept": "text/html"}
    return TestClient(app, base_url="https://pps.example.org", headers=signed_in, follow_redirects=False)


def press(web: TestClient, what: str, reason: str = WHY, until: str = "", **headers: str) -> Any:
    return web.post(PAGE, data={"do": what, "reason": reason, "until": until}, headers=headers)


def buttons(web: TestClient, **headers: str) -> list[str]:
    html = web.get(PAGE, headers=headers).text
    return [part.partition('"')[0] for part in html.split('name="do" value="')[1:]]


def test_a_rollout_is_paused_and_goes_on_with_reasons_that_everybody_reads(
    web: TestClient, services: MemoryServices
) -> None:
    assert [b for b in buttons(web) if b != "again"] == ["pause", "extend", "stop", "withdraw"]
    done = press(web, "pause")
    assert (done.status_code, done.headers["location"]) == (303, PAGE)
    assert "resume" in buttons(web)
    assert "pause" not in buttons(web)
    words = Read(web.get(PAGE).text).words
    assert "Paused since" in words and WHY in words
    public = web.get("/api/v1/bulletin", headers={"Authorization": ""}).json()["rollouts"][0]
    assert public["paused"] == WHY
    assert WHY in web.get("/home").text
    assert [m.subject for m, _, _ in services.facts.outbox(ROLLOUT)] == ["Paused: glite-WN 3.1.23 (patch 4711)"]

    again = press(web, "pause")
    assert (again.status_code, "It is paused already." in again.text) == (422, True)
    assert press(web, "resume", "PIC was ill, not the client.").status_code == 303
    assert web.get("/api/v1/bulletin").json()["rollouts"][0]["paused"] is None
    kinds = [f.kind for f in services.facts.rollout(ROLLOUT).facts][-2:]
    assert kinds == [FactKind.ROLLOUT_PAUSED, FactKind.ROLLOUT_RESUMED]


def test_a_stop_ends_it_and_all_who_were_told_of_it_hear_why(web: TestClient, services: MemoryServices) -> None:
    assert press(web, "stop").status_code == 303
    record = services.facts.rollout(ROLLOUT)
    assert record.is_stopped and record.is_closed
    assert WHY in Read(web.get(PAGE).text).words
    assert buttons(web) == ["withdraw"]
    assert press(web, "pause").status_code == 422


def test_vos_are_asked_for_longer_until_a_date_that_is_typed(web: TestClient, services: MemoryServices) -> None:
    assert "They are asked until Sun 15 Mar 2026, 12:00 UTC." in Read(web.get(PAGE).text).words
    assert press(web, "extend", "", until="2026-03-20T12:00").status_code == 303
    assert "open until Fri 20 Mar 2026, 12:00 UTC" in Read(web.get(PAGE).text).words
    for until, why in (("", "Until when?"), ("2026-03-02T12:00", "that is no earlier date"), ("soon", "Until when?")):
        refused = press(web, "extend", "", until=until)
        assert (refused.status_code, why in Read(refused.text).words) == (422, True)
    assert 'value="2026-03-02T12:00"' in press(web, "extend", "", until="2026-03-02T12:00").text
    sent = {"until": "2026-03-21T12:00:00+00:00"}
    answers = [web.post(f"/api/v1/rollouts/{ROLLOUT}/feedback-date", json=sent) for _ in range(2)]
    assert [(a.status_code, a.json()["new"]) for a in answers] == [(201, True), (200, False)]
    assert answers[0].json()["due"] == sent["until"]
    assert web.post(f"/api/v1/rollouts/{ROLLOUT}/feedback-date", json={"until": "2026-03-22T12:00"}).status_code == 422
    other = web.post(f"/api/v1/rollouts/{ROLLOUT}/feedback-date", json=sent, headers={"X-Test-Role": "EMT"})
    assert (other.status_code, "Only the Release Manager" in other.text) == (422, True)


@pytest.mark.parametrize("reason", ["", "x", "see mail"])
def test_without_a_reason_that_others_understand_nothing_is_done_and_what_was_typed_comes_back(
    web: TestClient, services: MemoryServices, reason: str
) -> None:
    before = services.facts.rollout(ROLLOUT).facts
    refused = press(web, "stop", reason)
    assert refused.status_code == 422
    assert "three words at least" in refused.text
    assert f"\n{reason}</textarea>" in refused.text
    assert services.facts.rollout(ROLLOUT).facts == before


@pytest.mark.parametrize("role", ["Viewer", "EMT", "Site Administrator", "VO Representative", "Regional Manager"])
def test_nobody_else_sees_a_button_or_could_press_one(
    web: TestClient, services: MemoryServices, airflow: SomeAirflow, role: str
) -> None:
    before = services.facts.rollout(ROLLOUT).facts
    headers = {"X-Test-Role": role}
    assert buttons(web, **headers) == []
    for what in ("pause", "resume", "stop", "extend", "again", "withdraw"):
        refused = press(web, what, **headers, until="2026-03-20T12:00")
        assert refused.status_code in (403, 422)
        assert "Only the Release Manager and the PPS Coordinator may" in refused.text
    assert (services.facts.rollout(ROLLOUT).facts, airflow.asked) == (before, [])


def test_a_page_of_another_site_cannot_press_a_button(web: TestClient, services: MemoryServices) -> None:
    before = services.facts.rollout(ROLLOUT).facts
    for origin in ("https://evil.example.org", "null"):
        assert press(web, "stop", Origin=origin).status_code == 403
    assert web.post(PAGE, json={"do": "stop", "reason": WHY}).status_code == 415
    assert services.facts.rollout(ROLLOUT).facts == before


def test_withdrawing_starts_its_run_in_airflow_for_whoever_has_pressed(web: TestClient, airflow: SomeAirflow) -> None:
    done = press(web, "withdraw")
    assert airflow.asked == [("POST", "dags/withdraw_rollout/dagRuns", {"rollout": ROLLOUT, "reason": WHY})]
    shown = Read(web.get(done.headers["location"]).text)
    assert "It has begun: manual__2026-03-01T12:00:00+00:00" in shown.words


def test_failed_sites_are_tried_again_by_one_click(
    web: TestClient, airflow: SomeAirflow, services: MemoryServices
) -> None:
    refused = press(web, "again", "")
    assert (refused.status_code, airflow.asked) == (422, []), "SARA has opted out, and nothing else has failed"
    services.facts.record(happened(FactKind.SITE_FAILED, "CNAF", "night", after=9, reason="no answer"))
    assert press(web, "again", "").status_code == 303
    assert airflow.asked == [("POST", "dags/retry_sites/dagRuns", {"rollout": ROLLOUT})]
    airflow.refusal = HTTPException(403, "Your role may not do that.")
    refused = press(web, "again", "")
    assert (refused.status_code, "Your role may not do that." in refused.text) == (403, True)


def test_a_button_that_there_is_not_is_refused_with_those_that_there_are(web: TestClient) -> None:
    refused = press(web, "<script>")
    assert refused.status_code == 422
    assert "pause, resume, stop, extend, again, withdraw" in refused.text
    assert "<script>" not in refused.text.replace('<script type="module"', "")


def test_programs_do_the_same(web: TestClient, services: MemoryServices) -> None:
    said = web.post(f"/api/v1{PAGE}/control", json={"what": "pause", "reason": WHY})
    assert (said.status_code, said.json()["what"], said.json()["reason"]) == (201, "rollout-paused", WHY)
    assert web.post(f"/api/v1{PAGE}/control", json={"what": "explode", "reason": WHY}).status_code == 422
    assert web.post(f"/api/v1{PAGE}/control", json={"what": "pause", "reason": WHY}).status_code == 422


# --- what the page shows


def test_the_page_shows_batches_with_their_budget_and_compares_probes_with_the_version_before(
    web: TestClient, services: MemoryServices
) -> None:
    def probes(**states: str) -> list[dict[str, str]]:
        return [{"probe": probe, "state": state, "text": ""} for probe, state in states.items()]

    before = "bc-client-4700-1"
    services.facts.register.append(OpenRollout(before, "bc-client", 4700, NOW, NOW))
    opened = {"path": "bc-client", "patch": 4700, "metapackage": "glite-WN", "version": "3.1.22"}
    services.facts.record(
        replace(happened(FactKind.ROLLOUT_OPENED, **opened), rollout=before, at=NOW - timedelta(days=9)),
        replace(happened(FactKind.PROBES_FAILED, "CNAF", results=probes(env="CRITICAL")), rollout=before),
        replace(happened(FactKind.PROBES_PASSED, "PIC", results=probes(env="OK")), rollout=before),
        happened(FactKind.PROBES_FAILED, "CNAF", "x", after=9, reason="ill", results=probes(env="CRITICAL")),
        happened(FactKind.PROBES_FAILED, "PIC", "x", after=9, reason="ill", results=probes(env="UNKNOWN")),
    )
    words = Read(web.get(PAGE).text).words
    assert "It was so with glite-WN 3.1.22, too: no regression." in words
    assert "With glite-WN 3.1.22 this passed here: env." in words
    assert "Failure budget: 3 of 3 planned sites failed; 3 may. One more than that" in words
    assert "canary 1 0 1 0" in words


def test_the_page_of_every_moment_is_there_and_has_no_button(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    app = create_app(lambda: services, airflow_user, ticking(NOW + timedelta(hours=1)))
    signed_in = {"Authorization": "Bearer good", "X-Test-Role": Role.RELEASE_MANAGER.value, "Accept": "text/html"}
    web = TestClient(app, headers=signed_in)
    html = web.get(PAGE).text
    moments = html.split('data-past="')[1].partition('"')[0].split()
    assert len(moments) == 7
    past = web.get(PAGE, params={"at": moments[0]})
    assert "Where it stood on Sun 1 Mar 2026" in past.text
    assert 'name="do"' not in past.text
    assert "back to now" in past.text
    states = [web.get(PAGE, params={"at": moment}).text.count("s-available") for moment in moments]
    assert states[0] == 0 and states == sorted(states)
    assert states[-1] == html.count("s-available")
    assert web.get(PAGE, params={"at": "2020-01-01"}).status_code == 404
    assert web.get(PAGE, params={"at": "soon"}).status_code == 422
