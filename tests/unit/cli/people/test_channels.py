"""`pps channels`: what there is, and whether it works, without a word of a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from tests.integration.test_channels import SECRET, Receiver, receiver  # noqa: F401
from tests.support.front import front, services  # noqa: F401
from tests.unit.cli.people.test_tasks import one_line, pps
from tests.unit.cli.test_doctor import doctor, execution_api, healthy, mail_server, shell  # noqa: F401

from pps.cli.front import Front


def declared(front: Front, monkeypatch: pytest.MonkeyPatch, **channels: Any) -> None:
    file = front.services.config.folder / "people.yaml"
    told = [{"address": "emt@example.org", "channels": ["portal"], "notices": ["questions"]}]
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"channels": channels, "told": told}))
    monkeypatch.setitem(front.services.__dict__, "credentials", {"pps_channel_portal": f"generic://:{SECRET}@"}.get)


def test_a_test_message_is_sent_at_once_and_a_dry_run_sends_nothing(
    front: Front, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(front, monkeypatch, portal={"by": "webhook", "url": f"{receiver.url}/x"})
    code, out, _ = pps(front, "channels", "list")
    assert code == 0 and "pps_channel_portal" in out and "emt@example.org: questions" in one_line(out)
    code, out, _ = pps(front, "channels", "test", "portal", "--dry-run", "--json")
    assert (code, json.loads(out)["dry_run"], receiver.got) == (0, True, [])
    code, out, _ = pps(front, "channels", "test", "portal")
    assert (code, receiver.got[0].json["notice"]) == (0, "test")
    assert "A test of the channel portal" in receiver.got[0].json["subject"]
    receiver.status = 404
    code, out, err = pps(front, "channels", "test", "portal")
    assert code != 0 and "answers with HTTP 404" in one_line(err)
    assert SECRET not in out + err
    code, _, err = pps(front, "channels", "test", "pager")
    assert code != 0 and "It names: portal." in one_line(err)


def test_the_doctor_looks_at_each_channel_and_sends_nothing(
    healthy: Front, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"by": "webhook", "url": f"{receiver.url}/x"}
    declared(healthy, monkeypatch, portal=here, room={"by": "apprise"})
    _, found = doctor(healthy)
    assert found["channel portal"][0] == "OK"
    assert found["channel room"][0] == "FAIL" and "pps_channel_room is not set" in found["channel room"][1]
    assert receiver.got == []
