"""The API as it describes itself: complete, true of what it answers, and nothing that it allows ends in a fault."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.support.described import as_described
from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, previewed
from tests.support.front import ROLLOUT, MemoryServices, MemoryTracker, site, write_config
from tests.support.front import services as services  # noqa: PLC0414
from tests.support.pilots import MAJOR, APilot
from tests.support.release_tests import AReleaseTest
from tests.support.submitting import record_refused_release
from tests.support.thoroughness import examples
from tests.support.withdrawals import Postbox
from tests.unit.web.test_late_answers import Clock, airflow_user, shared_store

from pps.activities.packages.advice import note_advice
from pps.activities.people.following import follow
from pps.activities.ports.packages import Tarball
from pps.activities.ports.people import Mail
from pps.activities.trust.statements import offer_installation
from pps.config.loader import Configuration
from pps.domain.packages.advice import Impact, Risk, Status, Vulnerability
from pps.domain.packages.manifest import Manifest
from pps.domain.packages.patch import PatchState
from pps.domain.people.following import Kind, Thing
from pps.domain.record.facts import Fact, FactKind
from pps.domain.sites.site import Platform
from pps.web.api.openapi import OPERATIONS
from pps.web.app import PUBLIC, create_app
from pps.web.settings import not_known

#: Somebody who may do much: what they send gets further than to the refusal.
COORDINATOR = {"Authorization": "Bearer ana:PPS Coordinator"}
#: Fewer than other properties have: each operation is a property of its own.
EXAMPLES = max(5, examples() // 5)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
#: What is on record, for addresses that lead somewhere.
RECORDS = (ROLLOUT, "major-pilot-4711-1", "release-test-4711-1")
WISHES = (
    {"do": "window", "days": ["mon"], "begins": "22:00", "ends": "06:00"},
    {"do": "add-window", "days": ["sat"], "begins": "00:00", "ends": "00:00"},
    {"do": "pin", "metapackage": "glite-WN", "reason": "It breaks our batch system."},
    {"do": "opt-out", "reason": "We move our machines."},
)
QUALITY = (
    ("targets", {"measure": "regressions", "target": 0, "reason": "As agreed with the provider."}),
    ("actions", {"text": "Test large files first.", "owner": "ana", "due": "2030-01-01"}),
    ("reviews", {"text": "One release was withdrawn."}),
)
#: What addresses lead to that name more than a record.
PLACES: dict[str, Any] = {
    "product": "glite-WN",
    "version": "3.1.24",
    "patch": 4711,
    "number": 4711,
    "file": "policies.yaml",
    "cve": "CVE-2026-12345",
}
QUERIES = {
    "/api/v1/feedback": {"rollout": ROLLOUT},
    "/api/v1/credits": {"show": "list"},
    "/api/v1/verdict": {"dag": "d", "run": "r", "task": "t", "at": NOW.isoformat()},
}
#: Of most records there is nothing to say here.
MAY_BE_EMPTY = ("/api/v1/verdict", "/api/v1/rollouts/{name}/statements")


def names(path: str) -> tuple[str, ...]:
    """What an address may lead to; "" where it names nothing."""
    if "/sites/" in path:
        return ("PIC",)
    if path.startswith("/api/v1/pilots/"):
        return tuple(name for name in RECORDS if "-pilot-" in name)
    return RECORDS if "{name}" in path else ("",)


def parameters(path: str) -> list[dict[str, Any]]:
    """What an address may hold, so that it leads somewhere."""
    found = {key: value for key, value in PLACES.items() if f"{{{key}}}" in path}
    if "/quality/" in path and "number" in found:
        found["number"] = 1
    return [found | ({"name": name} if name else {}) for name in names(path)]


@dataclass(frozen=True)
class World:
    app: FastAPI
    document: dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("api")
    store = shared_store(folder)
    previewed(store)
    pilot = APilot(replace(MAJOR, state=PatchState.CERTIFIED), store, vo="cms").running("cms")
    AReleaseTest(store=store).asked()
    said = {"opinion": "works", "text": "ask bob@example.org", "author": "Bob", "invited": True}
    earned = {"activity": "release-test", "credits": 1, "effort_ph": 1, "site": "PIC", "roc": "North"}
    asked = {"due": (NOW + timedelta(days=3)).isoformat(), "to": "", "title": "Well?", "assigned_to": ["user:ana"]}
    for fact in (
        Fact(ROLLOUT, FactKind.FEEDBACK_GIVEN, "atlas", "x", NOW + timedelta(hours=3), "VO atlas", said),
        Fact(ROLLOUT, FactKind.CREDITED, "PIC", "release-test", NOW, "pps", earned),
        Fact("release-test-4711-1", FactKind.CREDITED, "PIC", "release-test", NOW, "pps", earned),
        Fact(pilot.name, FactKind.QUESTION_ASKED, "PIC", "pilot-roll-back", NOW, "pps", asked),
    ):
        store.record(fact, mails=[Mail(f"{fact.rollout}/x/{fact.subject}", "a@example.org", "Hello", "text")])
    manifest = Manifest("glite-WN", "3.1.23", (), ())
    preview, for_these = Tarball(manifest.name, manifest.digest, {}, 1, ()), {Platform("debian12", "amd64")}
    there = at_desk(store.rollout(ROLLOUT), store, now=NOW)
    offer_installation(there, preview, manifest, for_these, packed=1, holds_for=timedelta(days=90))
    record_refused_release(store)
    note_advice(
        at_office(store),
        replace(
            MAJOR, cves=(Vulnerability(PLACES["cve"], Risk.HIGH),), vex=(Impact("CVE-2026-12346", Status.AFFECTED),)
        ),
    )
    follow(at_office(store, patch=MAJOR), "ana", "ana@example.org", Thing(Kind.PATCH, "4711"), ())
    config = write_config(folder / "config", [site("PIC", administrators=["ana"], latitude=41.4, longitude=2.2)])
    given = {
        "facts": store,
        "tracker": MemoryTracker(MAJOR),
        "mailer": Postbox(),
        "feedback_secret": b"a-secret-of-at-least-thirty-two-bytes",
    }
    services = MemoryServices(Configuration(config.folder), lambda _: None, given)
    with pytest.MonkeyPatch.context() as patch:  # neither of these is what is looked at here
        patch.setattr("pps.web.feedback.ANSWERS_AT_ONCE", 10**6)
        patch.setattr("pps.web.patches._STRANGE_AT_ONCE", 10**6)
        patch.setattr("pps.web.live.PASTS_AT_ONCE", 10**6)
        is_set = {**not_known(), "groups": [1000]}
        app = create_app(lambda: services, airflow_user, Clock(NOW + timedelta(hours=9)), how_it_is_set=lambda: is_set)
        client = TestClient(app, headers=COORDINATOR)
        for wish in WISHES:
            assert client.post("/api/v1/sites/PIC/wishes", json=wish).status_code == 201
        for what, said in QUALITY:
            assert client.post(f"/api/v1/quality/glite-WN/{what}", json=said).status_code == 201
        document = client.get("/api/v1/openapi.json").json()
        yield World(app, document)
    store.dispose()


def test_every_operation_is_described_and_nothing_else_is(world: World) -> None:
    routes = {
        (method, route.path)
        for route in world.app.routes
        if isinstance(route, APIRoute) and route.path.startswith("/api/v1/")
        for method in route.methods
    }
    assert routes == set(OPERATIONS), "described in pps.web.api.openapi is not what is served"
    for path, operations in world.document["paths"].items():
        for method, operation in operations.items():
            about = f"{method} {path}"
            assert operation["summary"][-1] in ".;:" or len(operation["summary"]) > 10, about
            assert bool(operation["security"]) is ((method.upper(), path) not in PUBLIC), about
            assert operation["responses"]["4XX"]["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")
            if method == "post" and path != "/api/v1/run-note":
                (kind, body), *_ = operation["requestBody"]["content"].items()
                assert "$ref" in body["schema"] if kind == "application/json" else body["schema"]["description"], about


def test_the_description_is_for_users_and_names_where_we_are_served(world: World) -> None:
    outer = FastAPI()
    outer.mount("/grid/pps", world.app)
    client = TestClient(outer)
    for path in ("/grid/pps/api/v1/openapi.json", "/grid/pps/api"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"Authorization": "Bearer x:Nobody"}).status_code == 403
    served = client.get("/grid/pps/api/v1/openapi.json", headers=COORDINATOR).json()
    assert served["openapi"].startswith("3.1")
    assert served["servers"] == [{"url": "/grid/pps"}]
    page = client.get("/grid/pps/api", headers=COORDINATOR).text
    for path in world.document["paths"]:
        assert f" {path}</code>" in page


@pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "GET"])
def test_an_answer_with_content_holds_what_is_described_and_no_more(world: World, path: str) -> None:
    client = TestClient(world.app, headers=COORDINATOR)
    for held in parameters(path):
        answer = client.get(path.format(**held), params=QUERIES.get(path))
        assert answer.status_code == 200, answer.text
        found = as_described(client, answer).json()
        if path not in MAY_BE_EMPTY or held.get("name") == ROLLOUT:
            assert any(isinstance(v, list | dict) and v for v in found.values())


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), list(OPERATIONS))
def test_whatever_is_asked_is_answered_as_described(world: World, method: str, path: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(world.document)
    schema.app = world.app
    operation = schema[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
        return  # an address is a text, and every text is one
    known = [{"path_parameters": held} for held in parameters(path) if held]

    @seed(4711)
    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(case=st.one_of([operation.as_strategy(generation_mode=mode, **given) for given in ({}, *known)]))
    def ask(case: Any) -> None:
        case.call_and_validate(headers=COORDINATOR, checks=CHECKS)

    ask()
