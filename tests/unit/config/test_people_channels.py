"""The part of people.yaml that names other channels than mail: no secret in it, and nothing that leads nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from tests.support.front import front, services, site, write_config  # noqa: F401

from pps.activities.ports.people import Mail
from pps.adapters.services.channels import AppriseChannel, Webhook
from pps.config.loader import problems_in
from pps.config.people_models import PeopleFile
from pps.services import Services

GOOD: dict[str, Any] = {
    "vos": [],
    "rocs": [],
    "channels": {"emt-room": {"by": "apprise"}, "portal": {"by": "webhook", "url": "https://portal.example.org/pps"}},
    "told": [{"address": "emt@example.org", "channels": ["emt-room", "portal"], "notices": ["questions"]}],
}


def problems(folder: Path, **changes: Any) -> str:
    file = folder / "people.yaml"
    file.write_text(yaml.safe_dump(GOOD | changes))
    return " ".join(problems_in(file, PeopleFile))


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        ({"by": "apprise", "url": "mmost://chat.example.org/canary"}, "never written here"),
        ({"by": "webhook"}, "begins with https://"),
        ({"by": "webhook", "url": "http://portal.example.org/"}, "unless it is on this machine"),
        ({"by": "webhook", "url": "https://u:canary@portal.example.org/"}, "the secret is a Connection's"),
        ({"by": "webhook", "url": "ftp://portal.example.org/"}, "begins with https://"),
        ({"by": "webhook", "url": "https:///x"}, "names a host"),
        ({"by": "fax"}, "apprise"),
    ],
)
def test_a_channel_that_cannot_be_is_refused_with_its_reason(tmp_path: Path, channel: dict[str, Any], why: str) -> None:
    said = problems(tmp_path, channels={"x": channel}, told=[])
    assert why in said and "channels.x" in said
    assert "canary" not in said


def test_what_is_told_by_an_unknown_channel_or_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path) == ""
    assert problems(tmp_path, channels={"a": {"by": "webhook", "url": "http://127.0.0.1:8/x"}}, told=[]) == ""
    assert "no such channel: room" in problems(tmp_path, told=[{"address": "a@b.org", "channels": ["room"]}])
    unknown = {"address": "a@b.org", "channels": ["portal"], "notices": ["invitations"]}
    assert "told.0.notices.0" in problems(tmp_path, told=[unknown])
    both = {"a-b": {"by": "apprise"}, "a.b": {"by": "apprise"}}
    assert "pps_channel_a_b" in problems(tmp_path, channels=both, told=[])


def test_the_secret_of_each_channel_comes_from_its_own_connection(tmp_path: Path) -> None:
    config = write_config(tmp_path, [site("PIC")])
    people = yaml.safe_load((tmp_path / "people.yaml").read_text())
    (tmp_path / "people.yaml").write_text(yaml.safe_dump(people | {k: GOOD[k] for k in ("channels", "told")}))
    url = "mmosts://chat.example.org/a/b?x=1"
    connections = {
        "pps_channel_emt_room": f"generic://:{quote(url, safe='')}@",
        "pps_channel_portal": "generic://:0123456789abcdef@",
    }
    s = Services(config, connections.get)
    room, portal = s.channels["emt-room"], s.channels["portal"]
    assert isinstance(room, AppriseChannel) and room.url() == url
    assert isinstance(portal, Webhook) and portal.secret() == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(s.channels)
    mail = Mail("bc-client-1-1/question-asked/EMT/x", "emt@example.org", "Please", "t")
    assert [m.channel for m in s.by_all_channels([mail])] == ["", "emt-room", "portal"]
    assert s.by_all_channels([]) == ()
