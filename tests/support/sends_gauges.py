"""An api-server's beginning in a process of its own: Airflow's lifespan, and our application mounted in it.

`python -m tests.support.sends_gauges FOLDER_WITH_FACTS FOLDER_FOR_CONFIGURATION`
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    from airflow.api_fastapi.app import lifespan
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from tests.support.examples import NOW
    from tests.support.front import MemoryServices, MemoryTracker, site, write_config

    from pps.activities.ports.operations import Night
    from pps.adapters.record.store import FactStore
    from pps.orchestration.gauges import send
    from pps.web.app import create_app

    facts, folder = Path(sys.argv[1]), Path(sys.argv[2])
    given = {"facts": FactStore(f"sqlite:///{facts}/facts.db"), "tracker": MemoryTracker()}
    services = MemoryServices(write_config(folder, [site("PIC")]), lambda _: None, given)
    ours = create_app(
        lambda: services, lambda: None, lambda: NOW, last_night=lambda: Night(NOW, failed=True), started=send
    )
    whole = FastAPI(lifespan=lifespan)
    whole.mount("/pps", ours)
    with TestClient(whole):
        from opentelemetry import metrics

        flush = getattr(metrics.get_meter_provider(), "force_flush", None)
        print("sent" if flush and flush() else "nothing is sent", flush=True)


if __name__ == "__main__":
    main()
