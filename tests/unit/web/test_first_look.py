"""When serving begins the pages are looked at once, so that no reader waits for the first look at everything."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import HTTPException
from fastapi.testclient import TestClient
from tests.support.front import MemoryServices, a_preview_that_is_out, services  # noqa: F401

from pps.domain.base.errors import ServiceError
from pps.web.app import create_app


def nobody() -> Any:
    raise HTTPException(401, "Nobody signs in here.")


class Watched:
    """Templates at which one can see what was rendered."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._seen, self.rendered = inner, threading.Condition(), list[str]()

    def render(self, name: str, view: Mapping[str, Any]) -> str:
        text = str(self._inner.render(name, view))
        with self._seen:
            self.rendered.append(name)
            self._seen.notify_all()
        return text

    def wait_for(self, name: str) -> None:
        with self._seen:
            assert self._seen.wait_for(lambda: name in self.rendered, timeout=30), self.rendered


def test_rollouts_are_read_and_templates_translated_before_the_first_reader_comes(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    templates = Watched(services.templates)
    watched = replace(services, given={**services.given, "templates": templates})
    app = create_app(lambda: watched, nobody)
    with TestClient(app) as web:
        templates.wait_for("bulletin.html")
        assert templates.rendered == ["home.html", "map.html", "map.html", "map.html", "bulletin.html"]
        reads = count_reads(services)
        assert "glite-WN" in web.get("/map").text
    assert not reads


def count_reads(services: MemoryServices) -> list[object]:
    reads, standing = [], services.facts.standing
    services.facts.standing = lambda *asked: (reads.append(asked), standing(*asked))[1]  # type: ignore[method-assign]
    return reads


def test_a_record_that_is_away_keeps_nobody_from_serving_and_the_first_reader_is_told(services: MemoryServices) -> None:
    asked = []

    def away(*_: object) -> Any:
        asked.append(1)
        raise ServiceError("database", "it does not answer")

    services.facts.marks = away  # type: ignore[method-assign]
    with TestClient(create_app(lambda: services, nobody)) as web:
        assert web.get("/static/pps.css").status_code == 200
        answer = web.get("/map")
    assert len(asked) <= 2, "one look at the start, and the reader's own"
    assert (answer.status_code, "Try again in a few minutes" in answer.text) == (503, True)
