"""Where bin/test-parts puts GitHub's description of its API; npm brings it, and it is too large to keep."""

from __future__ import annotations

import os
from pathlib import Path

FILE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pps-rollout/github-openapi-23.0.2.json"
