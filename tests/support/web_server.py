"""Serves applications on a port of their own, as Airflow mounts them.

```python
with served({"/pps": create_app(...)}) as url: ...
```
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI


@contextmanager
def served(apps: Mapping[str, FastAPI]) -> Iterator[str]:
    outer = FastAPI()
    for prefix, app in apps.items():
        outer.mount(prefix, app)
    server = uvicorn.Server(uvicorn.Config(outer, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
