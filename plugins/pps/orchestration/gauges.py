"""Our gauges go where Airflow's own metrics go, if that is by OpenTelemetry (docs/adr/0042)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from airflow.configuration import conf

from pps.activities.operations.numbers import GAUGES, Gauge, Sample, by_gauge

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation

#: One export asks for all gauges, one after the other: they are of one look.
_ONE_EXPORT_S = 1.0


def send(samples: Callable[[], Iterable[Sample]]) -> None:
    """Register every gauge with the exporter that Airflow's settings have made; without one, nothing is measured.

    Called once in each process that serves, after Airflow has read its settings for metrics.
    """
    if not conf.getboolean("metrics", "otel_on", fallback=False):
        return
    from airflow.observability import stats
    from opentelemetry import metrics

    stats.incr("pps.serving")  # Airflow makes its exporter when it first has something to say
    look, meter = _Looks(samples), metrics.get_meter("pps")
    for gauge in GAUGES:
        meter.create_observable_gauge(gauge.name, [_asked(look, gauge)], description=gauge.help)


class _Looks:
    """Keeps a look for as long as one export may take."""

    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        self._samples = samples
        self._newest: tuple[float, dict[Gauge, list[Sample]]] = (float("-inf"), {})

    def of(self, gauge: Gauge) -> list[Sample]:
        """What was seen of a gauge."""
        if time.monotonic() - self._newest[0] > _ONE_EXPORT_S:
            found = by_gauge(self._samples())
            self._newest = (time.monotonic(), found)
        return self._newest[1][gauge]


def _asked(look: _Looks, gauge: Gauge) -> Callable[[CallbackOptions], Iterable[Observation]]:
    from opentelemetry.metrics import Observation

    def observed(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(s.value, dict(zip(gauge.labels, s.labels, strict=True))) for s in look.of(gauge)]

    return observed
