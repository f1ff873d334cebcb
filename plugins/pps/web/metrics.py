"""`/pps/metrics`: what can be measured of the installation, in the forms that Prometheus and OpenMetrics have.

For whoever has signed in, and for a collector, which cannot: it shows a token of its own (`PPS_METRICS_TOKEN`).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from pps.activities.operations.numbers import Sample, by_gauge
from pps.activities.operations.watch import Watch

SETTING = "PPS_METRICS_TOKEN"
_LEAST = 32
_PLACE = "/metrics"


def tokens() -> tuple[bytes, ...]:
    """The collectors' tokens, separated by commas while they change; those that are too short to be any are none."""
    given = (token.strip() for token in os.environ.get(SETTING, "").split(","))
    return tuple(token.encode() for token in given if len(token) >= _LEAST)


def shows_token(headers: Headers) -> bool:
    """Tell whether a request shows one; takes the same time for all that are wrong."""
    kind, _, shown = headers.get("authorization", "").partition(" ")
    found = [hmac.compare_digest(shown.strip().encode("utf-8", "replace"), token) for token in tokens()]
    return kind.lower() == "bearer" and any(found)


def collector(request: Request) -> None:
    """The dependency that lets collectors in, and nobody else."""
    if not shows_token(request.headers):
        raise HTTPException(401, "This is for collectors that show their token.")


class _OfCollectors(APIRoute):
    """There for whoever shows a token. Anybody else comes to the route of the same name that asks for a user."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See `Route`."""
        found = super().matches(scope)
        if found[0] is Match.NONE or not shows_token(Headers(scope=scope)):
            return Match.NONE, {}
        return found


class _Seen(Collector):
    """Samples as prometheus_client takes them."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Any]:
        """See `Collector`."""
        from prometheus_client.core import GaugeMetricFamily

        for gauge, samples in by_gauge(self._samples).items():
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            for sample in samples:
                family.add_metric(sample.labels, sample.value)
            yield family


def exposed(samples: Iterable[Sample], accept: str) -> Response:
    """Samples in the form that is asked for: OpenMetrics 1.0 if it is named, else Prometheus' text format 0.0.4."""
    registry = CollectorRegistry()  # of its own: no numbers of this process are among ours
    registry.register(_Seen(samples))
    if "application/openmetrics-text" in accept:
        made = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return Response(made, media_type=openmetrics.CONTENT_TYPE_LATEST)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def routers(watch: Watch, now: Callable[[], datetime]) -> tuple[APIRouter, APIRouter]:
    """The route for collectors, which asks for their token, and that for users; `create_app` locks the latter."""
    of_collectors, of_users = APIRouter(route_class=_OfCollectors), APIRouter()

    @of_collectors.get(_PLACE, dependencies=[Depends(collector)])
    @of_users.get(_PLACE)
    def metrics(request: Request) -> Response:
        """All numbers as they are now."""
        return exposed(watch.samples(now()), request.headers.get("accept", ""))

    return of_collectors, of_users
