"""Each node enters with which configuration it works; no task waits for that."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.support.front import MemoryFacts, MemoryServices, site, write_config

from pps.domain.base.errors import ConfigurationError
from pps.domain.record.nodes import Node
from pps.orchestration.runtime import say_which_node


class _Old(MemoryFacts):
    def keep_node(self, node: Node, *, at_once: bool = False) -> None:
        raise ConfigurationError("the store", "has no tables, or old ones.", "Run: pps db upgrade")


def test_whoever_opens_the_services_enters_its_node_and_goes_on_where_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PPS_NODE", "worker-1")
    config, facts = write_config(tmp_path / "config", [site("PIC")]), MemoryFacts()
    opened = MemoryServices(config, given={"facts": facts})
    assert say_which_node(opened) is opened
    assert "sites.yaml" in facts.kept_nodes["worker-1"].files
    with caplog.at_level(logging.WARNING):
        say_which_node(MemoryServices(config, given={"facts": _Old()}))
    assert "has no tables" in caplog.text
