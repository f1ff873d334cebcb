"""An answer that a limit turns away is counted, so that operators see a limit that bites (docs/adr/0023)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from tests.support.examples import DUE, NOW, SECRET, asked, previewed
from tests.support.front import MemoryServices, site, write_config
from tests.support.postgres import StoreUrls
from typer.testing import CliRunner

from pps.activities.people.feedback import Said, give_feedback
from pps.activities.people.tokens import invitation_token
from pps.adapters.record.store import FactStore
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.base.errors import RefusedError
from pps.domain.people.feedback import FeedbackLimits, Limit

pytestmark = pytest.mark.needs("postgres")
LIMITS = FeedbackLimits(answers_per_invitation=1, uninvited_at_most=4, uninvited_per_vo=2, uninvited_per_network=1)


def test_each_limit_that_turns_answers_away_is_counted_without_a_word_of_whose_they_were(
    fact_store: FactStore, store_urls: StoreUrls, tmp_path: Path
) -> None:
    name = asked(fact_store, previewed(fact_store)).name
    token = invitation_token(SECRET, name, "atlas", DUE)

    def gives(vo: str, text: str, network: str, token: str = "") -> bool:
        try:
            said = Said(vo, "problem", text, "ada", token)
            give_feedback(fact_store, name, said, NOW, SECRET, limits=LIMITS, network=network)
        except RefusedError:
            return False
        return True

    front = Front(MemoryServices(write_config(tmp_path / "config", [site("PIC")]), given={"facts": fact_store}))

    def pps(*words: str) -> str:
        return " ".join(CliRunner().invoke(app, list(words), obj=front).stdout.split())

    assert "turned away" not in pps("rollout", "show", name) + pps("feedback", "list", name)
    assert [gives("atlas", f"{n}", "192.0.2.9", token) for n in range(2)] == [True, False]
    assert [gives("cms", f"{n}", "192.0.2.1") for n in range(3)] == [True, False, False]
    assert [gives("cms", f"{n}", f"192.0.2.{n}") for n in range(2, 5)] == [True, False, False]
    assert [gives("lhcb", "x", "198.51.100.1"), gives("ops", "x", "198.51.100.2")] == [True, True]
    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(lambda n: gives("biomed", "full", f"203.0.113.{n}"), range(10)))
    counted = {Limit.INVITATION: 1, Limit.NETWORK: 2, Limit.VO: 2, Limit.ROLLOUT: 10}
    assert fact_store.turned_away(name) == counted
    said = (
        "15 answers were turned away by limits: 1 by the limit for an invitation, 2 by the limit for a network, "
        "2 by the limit for the VO"
    )
    assert said in pps("rollout", "show", name)
    assert said in pps("feedback", "list", name)
    for command in ("rollout", "show"), ("feedback", "list"):
        assert json.loads(pps(*command, name, "--json"))["turned_away"] == {str(k): v for k, v in counted.items()}
    with psycopg.connect(store_urls.superuser.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT * FROM turned_away").fetchall()
    assert len(rows) == len(Limit), "so few rows, whatever comes"
    assert "192.0.2" not in str(rows)
    assert "ada" not in str(rows)
    assert fact_store.too_many_rights() == ()
