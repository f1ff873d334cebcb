"""The page of a pilot: what those see who have a part in it."""

from __future__ import annotations

import gzip
import json
import re
from datetime import datetime, timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML, TEXTS
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, MemoryTracker, front, services, site, write_config  # noqa: F401
from tests.support.memory_facts import MemoryFacts
from tests.support.pilots import DAY, ENOUGH, MAJOR, WEEK, APilot
from tests.support.withdrawals import Postbox
from tests.unit.cli.test_commands import as_json
from tests.unit.web.test_late_answers import Clock, airflow_user, shared_store
from tests.unit.web.test_pages import Read

from pps.activities.pilots.standing import Addresses, view
from pps.cli.front import Front
from pps.config.loader import Configuration
from pps.domain.pilots.looks import Outage, incident_of
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.web.app import create_app

NAME = "major-pilot-4711-1"
PAGE = f"/rollouts/{NAME}"
CARLA, ANA, BRUNO = "carla:PPS Coordinator", "ana:Site Administrator", "bruno:Site Administrator"
ADA, LENA, EMT, VIEWER = "ada:VO Representative", "lena:VO Representative", "erika:EMT", "vera:Viewer"
LINK = "https://pps.example.org/dags/major_server_pilot/runs/first/tasks/{}/required_actions"


@pytest.fixture
def pilot(tmp_path: Path) -> Any:
    store = shared_store(tmp_path)
    yield APilot(MAJOR, store, vo="cms").accepted().ranked()
    store.dispose()


@pytest.fixture
def config(services: MemoryServices) -> Configuration:
    sites = [site("PIC", administrators=["ana"]), site("INFN-T1", administrators=["bruno"])]
    made = write_config(services.config.folder, sites)
    people = yaml.safe_load((made.folder / "people.yaml").read_text())
    people["vos"].append({"name": "lhcb", "contact": "lhcb@example.org", "representatives": ["lena"]})
    people["role_contacts"] = {"PPS Coordinator": "coordination@example.org"}
    (made.folder / "people.yaml").write_text(yaml.safe_dump(people))
    return Configuration(made.folder)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW + timedelta(hours=9))


@pytest.fixture
def web(config: Configuration, pilot: APilot, clock: Clock) -> TestClient:
    given = {"facts": pilot.store, "tracker": MemoryTracker(MAJOR), "templates": templates(), "mailer": Postbox()}
    world = MemoryServices(config, lambda _: None, given)
    app = create_app(lambda: world, airflow_user, clock)
    return TestClient(app, base_url="https://pps.example.org", follow_redirects=False)


def get(web: TestClient, who: str = VIEWER, path: str = PAGE) -> Any:
    headers = {"Accept": "text/html"} | ({"Authorization": f"Bearer {who}"} if who else {})
    return web.get(path, headers=headers)


def words(web: TestClient, who: str = VIEWER, path: str = PAGE) -> str:
    found = get(web, who, path)
    assert found.status_code == 200, found.text
    return Read(found.text).words


def running(pilot: APilot) -> APilot:
    """At PIC and INFN-T1; atlas and lhcb have committed themselves."""
    pilot.shows_interest("atlas", "Bulk submission.")
    pilot.selected("PIC", "INFN-T1").kicked_off("atlas", "lhcb", user="carla")
    return pilot.wait(DAY).set_up("PIC").set_up("INFN-T1")


def ask(pilot: APilot, step: str, whom: str, task: str, title: str = "What now?", **more: Any) -> APilot:
    due = (pilot.at + 5 * DAY).isoformat()
    assigned = more.pop("assigned_to", ["role:PPS Coordinator"])
    link = LINK.format(task)
    return pilot.then(
        FactKind.QUESTION_ASKED, whom, step, due=due, to="", title=title, assigned_to=assigned, link=link, **more
    )


def forms_on(html: str) -> list[str]:
    return re.findall(r'name="do" value="([^"]+)"', html)


# --- what is shown


def test_a_pilot_shows_its_ten_steps_with_people_dates_sites_probes_vos_and_journal(
    web: TestClient, pilot: APilot, clock: Clock
) -> None:
    running(pilot).wait(DAY).probed("CRITICAL", "INFN-T1")
    began = pilot.at
    entry = incident_of(Outage(began, None, ""))
    pilot.wait(timedelta(hours=2)).then(FactKind.JOURNAL_ENTRY, "INFN-T1", entry, text="Incident: it is down.", user="")
    pilot.wait(DAY).said("atlas", "problem")
    clock.at = pilot.at
    html, seen = get(web).text, words(web)
    assert re.findall(r"(\d+)\. (?:Request|Pre-screening|Run|Wrap-up meeting)", seen) == ["1", "2", "8", "10"]
    assert "PPS Coordinator (carla)" in seen
    assert "INFN-T1 running 3.1.23 https://ce.example.org critical since Wed 3 Dec 2025, 09:30 UTC" in seen
    assert "atlas has committed itself problem Bulk submission. So it is." in seen
    assert "lhcb has committed itself awaited" in seen
    assert seen.index("Incident: it is down.") < seen.index("Set up: version 3.1.23"), "the newest comes first"
    assert "runs until Tue 16 Dec 2025, 09:30 UTC" in seen
    assert html.count('<rect class="b-critical"') == 1
    assert "INFN-T1, critical: Wed 3 Dec 2025, 09:30 UTC to " in seen
    assert "Incident at INFN-T1: Wed 3 Dec 2025, 09:30 UTC, still open." in seen
    assert "style=" not in html and "<script>" not in html, "the policy of our pages allows neither"


def test_the_graph_has_a_twin_for_those_who_do_not_see_it(web: TestClient, pilot: APilot, clock: Clock) -> None:
    running(pilot).wait(DAY).probed("CRITICAL").wait(timedelta(hours=2)).probed("OK").wait(DAY)
    clock.at = pilot.at
    table = get(web).text.partition('aria-label="What the probes have seen"')[2].partition("</table>")[0]
    rows = [Read(row).words for row in table.split("<tr>")[2:]]
    assert [row.split(" ", 1)[0] for row in rows] == ["PIC", "PIC", "PIC", "INFN-T1"]
    assert rows[1].startswith("PIC Wed 3 Dec 2025, 09:30 UTC Wed 3 Dec 2025, 11:30 UTC critical 2 hours")


def test_the_tab_of_its_run_shows_the_same(web: TestClient, pilot: APilot) -> None:
    run = str(pilot.record.opened["run"])
    assert "The ten steps" in words(web, path=f"/runs/{run}")
    assert "The ten steps" in words(web, path=f"/runs/{run}/rank_candidates/-1")


def test_a_pilot_that_has_just_been_asked_for_says_what_is_not_yet(web: TestClient, pilot: APilot) -> None:
    seen = words(web)
    for said in (
        "Nothing has happened at its sites yet.",
        "Nothing has been decided on it yet.",
        "2. Pre-screening now",
    ):
        assert said in seen
    assert "No service has been looked at yet." in seen


def test_documents_mirror_and_credits_are_told(web: TestClient, pilot: APilot) -> None:
    running(pilot)
    mirror = {
        "mirror": f"{NAME}/abc",
        "digest": "abc",
        "packages": 14,
        "bytes": 9,
        "source": "https://repo.example.org",
    }
    payload = {**mirror, "kind": "apt", "suite": "stable", "components": ["main"]}
    pilot.store.record(Fact(NAME, FactKind.MIRROR_MADE, "", "", pilot.at, "pps", payload))
    pilot.then(FactKind.REPORT_WRITTEN, "PIC", "d", files=[f"pilots/{NAME}/PIC.html", f"pilots/{NAME}/PIC.txt"])
    earned = {"activity": "pilot-setup", "credits": 12, "effort_ph": 12, "role": "Gold Site", "site": "PIC"}
    pilot.then(FactKind.CREDITED, "PIC", "pilot-setup", **earned)
    html, seen = get(web).text, words(web)
    assert "Installation https://docs.example.org/install" in seen
    assert f'href="../pilots/{NAME}/PIC.html"' in html
    assert "Report of INFN-T1 not written" in seen
    assert "Packages 14" in seen and "Digest abc" in seen
    assert "PIC 12 Gold Site" in seen


def test_the_decision_that_waits_stands_with_its_evidence_and_leads_to_its_form(
    web: TestClient, pilot: APilot, clock: Clock
) -> None:
    running(pilot).wait(DAY).probed("CRITICAL").wait(2 * WEEK).said("atlas", "problem").wait(WEEK).ended()
    clock.at = pilot.at
    ask(pilot, "pilot-wrap-up", "PPS Coordinator", "decide_at_wrap_up", "What did the wrap-up meeting decide?")
    html, seen = get(web, CARLA).text, words(web, CARLA)
    assert "What did the wrap-up meeting decide? Put to PPS Coordinator; answer by" in seen
    assert "Against a release: atlas reports a problem: So it is." in seen
    assert "No feedback from lhcb in time." in seen
    assert "The service does not answer well at PIC since Wed 3 Dec 2025, 09:30 UTC: It says so." in seen
    assert "No report from PIC and INFN-T1." in seen
    assert 'href="../tasks/major_server_pilot/first/decide_at_wrap_up/-1" class="go">Answer it' in html
    assert "It is not put to you." in words(web, ANA)


@pytest.mark.parametrize(
    ("step", "whom", "evidence"),
    [
        ("pilot-acceptance", "PPS Coordinator", "By the rules it is a major update, bc."),
        ("pilot-selection", "PPS Coordinator", "Candidates, the best first: IFIC-LCG2, "),
        ("pilot-kick-off", "PPS Coordinator", "atlas wants to take part: Bulk submission."),
        ("pilot-set-up", "PIC", "It was agreed to have it set up by"),
        ("pilot-roll-back", "PIC", "PPS Coordinator asks for it: Jobs are lost."),
        ("post-mortem", "PIC", "PIC: well in 100.0 % of what was seen of the run."),
    ],
)
def test_every_question_of_a_pilot_has_its_evidence(
    web: TestClient, pilot: APilot, clock: Clock, step: str, whom: str, evidence: str
) -> None:
    running(pilot).wait(DAY)
    clock.at = pilot.at
    pilot.then(FactKind.ROLL_BACK_ASKED, "PIC", "", reason="Jobs are lost.", user="carla", by="PPS Coordinator")
    ask(pilot, step, whom, "any")
    assert evidence in words(web)


def test_a_pilot_that_has_ended_says_why_and_leads_to_its_next_round(web: TestClient, pilot: APilot) -> None:
    running(pilot).wait(2 * WEEK).ended()
    said = {"outcome": "prolonged", "reasons": ["lhcb needs another week."], "next": "major-pilot-4711-2"}
    pilot.store.close(Fact(NAME, FactKind.ROLLOUT_CLOSED, "", "", pilot.at, "pps", said))
    html, seen = get(web).text, words(web)
    assert "Where it stands prolonged" in seen and "lhcb needs another week." in seen
    assert 'href="../rollouts/major-pilot-4711-2"' in html


def test_every_moment_of_its_past_can_be_seen_again_and_nothing_said_in_it(
    web: TestClient, pilot: APilot, clock: Clock
) -> None:
    then = running(pilot).at
    pilot.wait(2 * WEEK).ended()
    clock.at = pilot.at + DAY
    past = words(web, CARLA, f"{PAGE}?at={then:%Y-%m-%dT%H:%M}Z")
    assert "Where it stood on Tue 2 Dec 2025, 09:30 UTC running" in past
    assert "8. Run now" in past and "The run has ended" not in past
    assert forms_on(get(web, CARLA, f"{PAGE}?at={then:%Y-%m-%dT%H:%M}Z").text) == []
    assert "8. Run done" in words(web, CARLA)
    assert "data-past=" in get(web, CARLA).text


def test_the_past_knows_no_later_decision_to_overrule_the_policies(
    web: TestClient, pilot: APilot, clock: Clock
) -> None:
    running(pilot).wait(WEEK).ended("success")
    ended = pilot.at
    payload = {"urgency": "urgent", "reason": "It cannot wait.", "by": {"EMT": "erika"}, "state": "Certified"}
    overruled = Fact("patch-4711", FactKind.POLICIES_OVERRULED, "", "o-1", ended + DAY, "pps", payload)
    pilot.store.record_in_dossier(4711, overruled)
    clock.at = ended + 2 * DAY
    judged = "The policies were overruled, so nobody waited for atlas, lhcb."
    assert judged in words(web)
    assert judged not in words(web, VIEWER, f"{PAGE}?at={ended + timedelta(hours=1):%Y-%m-%dT%H:%M}Z")


def test_nobody_sees_it_who_has_not_signed_in_and_no_address_stands_on_it(web: TestClient, pilot: APilot) -> None:
    running(pilot).then(FactKind.JOURNAL_ENTRY, "PIC", "x", text="Ask ana@pic.example.org.", user="ana")
    assert get(web, "").status_code == 401
    assert get(web, "x:Public").status_code == 403
    html = get(web, CARLA).text
    assert "ana@pic" not in html and "a***@pic.example.org" in html


@pytest.mark.parametrize("text", [*HTML, *TEXTS])
def test_what_people_have_written_is_shown_as_text(web: TestClient, pilot: APilot, text: str) -> None:
    text = text.encode("utf-8", "replace").decode().replace("\0", "")
    running(pilot).then(FactKind.JOURNAL_ENTRY, "PIC", "x", text=text, user=text)
    pilot.then(FactKind.SERVICE_PROBED, "PIC", "change-9", state="WARNING", text=text)
    pilot.then(FactKind.SITE_LEFT_OUT, "INFN-T1", "set-up", reason=text)
    html = get(web).text
    for tag in ("<script>", "<img", "<svg/", "<style", "<b>", "<!--", "]]>"):
        assert tag not in html
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", html)


# --- for programs


def test_programs_are_told_the_same_without_addresses(web: TestClient, pilot: APilot, clock: Clock) -> None:
    running(pilot).wait(DAY).probed("CRITICAL")
    pilot.then(FactKind.JOURNAL_ENTRY, "PIC", "x", text="Ask ana@pic.example.org.", user="ana")
    clock.at = pilot.at + timedelta(hours=2)
    path = f"/api/v1/pilots/{NAME}"
    assert get(web, "", path).status_code == 401
    found = get(web, VIEWER, path).json()
    assert (found["version"], found["pilot"], found["stage"]) == (1, NAME, "running")
    assert [step["state"] for step in found["steps"]].count("now") == 1
    assert found["sites"][0]["probe"]["state"] == "critical"
    (lane, _) = found["graph"]["lanes"]
    assert [part["state"] for part in lane["intervals"]] == ["ok", "critical", "to come"]
    assert found["journal"][-1]["text"] == "Ask a***@pic.example.org."
    for unknown in ("none-1", "patch-4711", "%3Cscript%3E"):
        assert get(web, VIEWER, f"/api/v1/pilots/{unknown}").status_code == 404


def test_the_command_prints_what_the_page_shows(
    web: TestClient, pilot: APilot, clock: Clock, config: Configuration, front: Front
) -> None:
    running(pilot).wait(DAY).probed("CRITICAL")
    clock.at, clock.ticks = pilot.at + DAY, repeat(0)
    object.__setattr__(front.services, "config", config)
    front.services.__dict__["facts"] = pilot.store
    front.now = clock
    assert as_json(front, "pilot", "show", NAME) == get(web, VIEWER, f"/api/v1/pilots/{NAME}").json()


# --- of an earlier version, and of every half-way place


def facts_left_half_way() -> list[Fact]:
    """The facts of the pilots that an earlier version has left half-way."""
    dump = gzip.decompress((Path(__file__).parents[2] / "support/left_half_way/pps.sql.gz").read_bytes()).decode()
    text = "'((?:[^']|'')*)'"
    rows = re.findall(
        rf"^\t\((\d+), {', '.join([text] * 7)}",
        dump.partition("INTO public.facts")[2].partition(";\n")[0],
        re.MULTILINE,
    )
    found = []
    for _, *row in sorted(rows, key=lambda row: int(row[0])):  # a dump has them as they lie in the table
        rollout, kind, subject, occasion, at, actor, payload = (part.replace("''", "'") for part in row)
        if "-pilot-" in rollout:
            found.append(
                Fact(rollout, FactKind(kind), subject, occasion, datetime.fromisoformat(at), actor, json.loads(payload))
            )
    return found


def test_pilots_that_an_earlier_version_has_left_half_way_are_shown_at_each_of_their_moments() -> None:
    class Known(MemoryFacts):
        def dossier(self, number: int) -> Rollout:
            return Rollout(f"patch-{number}", ())

    facts = facts_left_half_way()
    names = {fact.rollout for fact in facts}
    assert names == {"major-pilot-4761-1", "major-pilot-4762-1", "minor-pilot-4763-1"}
    for name in names:
        mine = [fact for fact in facts if fact.rollout == name]
        for number in range(1, len(mine) + 1):
            known, now = Rollout(name, tuple(mine[:number])), mine[number - 1].at + timedelta(seconds=1)
            about = view(Known(), known, ENOUGH, Addresses("https://pps.example.org"), now)  # type: ignore[arg-type]
            present = [s["number"] for s in about["steps"] if s["state"] == "now"]
            assert len(present) in (1, 2)
    assert [s["state"] for s in about["steps"]].count("done") >= 5


def test_a_service_that_hardly_anybody_looked_at_is_not_shown_as_well_without_saying_so(
    web: TestClient, pilot: APilot, clock: Clock
) -> None:
    running(pilot)
    clock.at = pilot.at + timedelta(days=9)
    said = words(web)
    assert "of what was seen;" in said and "% was not" in said
    (pic,) = [s for s in get(web, path=f"/api/v1/pilots/{NAME}").json()["sites"] if s["site"] == "PIC"]
    assert pic["not_judged"] > 0.9
