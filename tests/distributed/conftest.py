"""One installation on several nodes for all tests here. `make test-distributed` runs them, alone on the machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.nodes import Nodes, open_folder
from tests.support.whole import PATIENT, Grid

#: Small batches, so that each worker gets some.
_POLICIES = PATIENT | {"distribution": {"sites_per_batch": 3, "sites_at_once_per_batch": 3}}


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    with open_folder("pps-distributed-") as folder, Nodes(folder, 24, _POLICIES) as running:
        yield running


@pytest.fixture(scope="session")
def grid(nodes: Nodes) -> Grid:
    return Grid(nodes.installation, nodes.folder)
