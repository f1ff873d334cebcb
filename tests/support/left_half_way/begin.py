"""Open rollouts and pilots of every path, begun by an earlier version and left half way: `make` runs this by its code.

Written against the rooms that version had, so that nothing but that version has made what is kept:
`begin.py COMMIT FOLDER TARGET`; an installation is made in FOLDER, and what it has left is written into TARGET.
"""

# ruff: noqa: I001 (the rooms of that version are not those of this one)
from __future__ import annotations

import gzip
import io
import json
import re
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from pps.domain.endpoints import parse_endpoint
from pps.domain.facts import FactKind
from pps.domain.rollouts import SiteState
from pps.domain.sites import PartnerLevel
from pps.sandbox.configuration import administrator_of
from pps.sandbox.demo import answer_invitation
from pps.sandbox.installation import Installation
from pps.sandbox.pilot_service import ServiceAction
from pps.sandbox.postgres import _environment, _program
from pps.sandbox.published_services import declare_services
from tests.support.whole import Grid
from tests.support.whole_pilots import MAJOR, MINOR, PilotRun, form, partner, server

NON_BC, TEST, RELEASE_TEST, OVERRULE = (
    "non_bc_client_update",
    "pre_deployment_test",
    "release_testing",
    "overrule_policies",
)
VARIABLE = "GLITE_SD_PLUGIN"
#: Each waits for a person, a date, or the world; none of them for the scheduler.
BUSY = {"scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule"}
WAITING = {"deferred", "awaiting_input"}
#: Of the grid's folder, what an upgrade finds; keys and ports are of the machine that runs it, and made anew.
KEPT = (
    "mails/*",
    "repository/apt-*/**/*",
    "store/**/*",
    "tracker/patches/*.json",
    "sites/*/etc/pilot-service.json",
    "sites/*/opt/pps/**/*",
    "sites/*/opt/edg/**/*",
)
#: In which places stand; of sites only the named ones, since previews there are compared with their digests.
TEXTS, BY_NAME = (".json", ".jsonl", ".eml", ".html", ".txt"), (".pps-site", "pilot-service.json", "MIRROR")
#: Hosts that may stand in what is kept; any other was this machine's, and becomes deb.example.org.
HOSTS = re.compile(r"(https?://)(?!127\.0\.0\.1|localhost|host\b|www\.w3\.org|[\w.-]*\bexample\.org)([\w.-]*\w)")


def in_a_month() -> str:
    return (datetime.now(UTC) + timedelta(days=30)).isoformat()


def pilots(grid: Grid) -> None:
    """A major one waits for report and VO, a minor one for a decision, another major one for its service."""
    gold, platinum = partner(grid, PartnerLevel.GOLD), partner(grid, PartnerLevel.PLATINUM)
    schema = {"database_schema_changed": True, "component_parameters": ("lb.conf:purge_after",)}
    over = PilotRun.asked_for(grid, MAJOR, "vo-representative", server(grid, 4762, "4.0.0", **schema), vo="lhcb")
    over.kicked_off(platinum, vos="lhcb", run_for="1s", feedback_within="30d")
    over.set_up(platinum, "4.0.0")
    over.waits_for(FactKind.RUN_ENDED)
    over.question(platinum)
    line = {"site": platinum, "text": "It was restarted at noon."}
    path = f"pps/api/v1/rollouts/{over.name}/journal"
    assert grid.as_user(administrator_of(platinum)).request("POST", path, json=line).status_code == 201

    minor = PilotRun.asked_for(grid, MINOR, "emt", server(grid, 4763, "3.2.0"))
    minor.kicked_off(gold, run_for="1s")
    minor.set_up(gold, "3.2.0")
    minor.report(gold)

    going = PilotRun.asked_for(
        grid,
        MAJOR,
        "vo-representative",
        server(grid, 4761, "3.2.1", component_parameters=("cream.conf:max_jobs",)),
        vo="atlas",
    )
    going.kicked_off(gold, vos="atlas", run_for="10s", feedback_within="30d")
    is_said_to_be_set_up(grid, going, gold, "3.2.1")


def is_said_to_be_set_up(grid: Grid, pilot: PilotRun, site: str, version: str) -> None:
    """Its people say so while it answers and is not published yet; then it answers no more."""
    asked = pilot.question(site)
    service = grid.control.act_on_service(site, ServiceAction.UPGRADE, version)["service"]
    declare_services(grid.installation.grid_folder / "sites" / site / "etc" / "published-services.json", ())
    endpoint = parse_endpoint(str(service["endpoint"]))
    shown = grid.services.information_system.services_of

    def is_unknown() -> bool:
        return not any(there.is_at(endpoint) for there in shown([endpoint.host]).get(endpoint.host, ()))

    grid.waits_for("that it is not published", is_unknown)
    said = form(asked, endpoint=service["endpoint"], version=version, previous=service["previous"])
    grid.as_user(administrator_of(site)).answer(asked, ["Set up"], said)

    def waits() -> bool:
        states = {task.task: task.state for task in grid.client.tasks(pilot.dag, pilot.run)}
        return states["site.wait_for_service"] == "deferred"

    grid.waits_for("that we wait for the service", waits)
    grid.control.act_on_service(site, ServiceAction.STOP)


def clients(grid: Grid) -> None:
    """One preview is at its sites, of another one site has configured it; VOs are asked, one has answered."""
    patch = grid.offers(4711, "3.1.23")
    name = grid.start(patch.number, feedback_until=in_a_month())
    grid.waits_for_fact(name, FactKind.FEEDBACK_DATE_AGREED)
    happy = "Our jobs run as they did before."
    grid.waits_for("an answer", lambda: answer_invitation(grid.mails, "atlas", "works", happy) == 201)
    grid.as_user("release-manager").trigger(TEST, {"patch": patch.number})
    grid.question(TEST, "~", "Deployment test")

    patch = grid.offers(4721, "3.7.1", new_variables=(VARIABLE,), special_configuration=f"Set {VARIABLE}.\n")
    name = run = grid.start(patch.number, NON_BC, feedback_until=in_a_month())
    quick, declines, silent = sorted(
        s.name for s in grid.services.config.sites.values() if "Silver" in s.partner_levels
    )
    asked = {site: grid.question(NON_BC, run, site) for site in (quick, declines, silent)}
    tarball = grid.rollout(name).need(FactKind.TARBALL_BUILT, "").payload["name"]
    folder = Path(f"{grid.services.config.site(quick).preview_root}/{tarball}.local")
    folder.mkdir(exist_ok=True)
    (folder / "pps.sh").write_text(f"export {VARIABLE}=file\n")
    for site, choice, remark in ((quick, "Configured", None), (declines, "Cannot configure it", "No such service.")):
        said = {"settings": f"{VARIABLE}=file" if choice == "Configured" else None, "remarks": remark}
        grid.as_user(administrator_of(site)).answer(asked[site], [choice], said)
    grid.waits_for("the quick site", lambda: grid.states(name)[quick] is SiteState.AVAILABLE)
    grid.waits_for("invitations", lambda: sum(f.kind is FactKind.VO_INVITED for f in grid.rollout(name).facts) == 4)


def decisions(grid: Grid) -> None:
    """Of two pools one has accepted an update; of two roles one wants to overrule the policies."""
    grid.offers(4741, "3.6.1")
    grid.certify(4741)
    sites = grid.services.config.sites
    made_for = grid.installation.grid["made_with"]["platform"]
    pools = [p for p in grid.services.config.pools if len(p.sites) == 1 and str(sites[p.sites[0]].platform) == made_for]
    run = grid.start(4741, RELEASE_TEST, pools=[p.name for p in pools[:2]])
    accepts, waits = (grid.question(RELEASE_TEST, run, p.sites[0]) for p in pools[:2])
    site = accepts.subject.partition(":")[0]
    said = {"services": "two worker nodes", "report": None}
    grid.as_user(administrator_of(site)).answer(accepts, ["Accept"], said)
    assert waits.subject != accepts.subject

    grid.offers(4723, "3.3.1")
    run = grid.start(4723, OVERRULE, urgency="urgent", reason="A hole in the proxy renewal is exploited.")
    grid.question(OVERRULE, run, "PPS Coordinator")
    grid.as_user("emt").answer(grid.question(OVERRULE, run, "EMT"), ["Agree"], {"remarks": None})


def at_rest(grid: Grid, url: str) -> bool:
    """Every run waits, and no mail does; for two seconds on end."""
    for _ in range(10):
        with psycopg.connect(url) as connection:
            runs: dict[str, set[str | None]] = {}
            for run, state in connection.execute(
                "SELECT ti.run_id, ti.state FROM task_instance ti JOIN dag_run r USING (dag_id, run_id)"
                " WHERE r.state = 'running'"
            ):
                runs.setdefault(run, set()).add(state)
            (queued,) = connection.execute("SELECT count(*) FROM dag_run WHERE state = 'queued'").fetchone()
        mails = [mail for entry in grid.services.facts.rollouts() for mail in grid.services.facts.outbox(entry.name)]
        if queued or any(states & BUSY or not states & WAITING for states in runs.values()):
            return False
        if not all(sent for _, sent, *_ in mails):
            return False
        time.sleep(0.2)
    return True


def database(url: str, *, airflows: bool) -> str:
    """The dump of one; this machine and its history are left out."""
    if airflows:
        with psycopg.connect(url) as connection:
            for statement in (
                "DELETE FROM log",
                "UPDATE trigger SET triggerer_id = NULL",
                "UPDATE task_instance SET queued_by_job_id = NULL, pid = NULL, hostname = 'localhost', "
                "unixname = 'airflow'",
                "UPDATE dag_run SET creating_job_id = NULL",
                "DELETE FROM job",
                "UPDATE ab_user SET password = NULL",
                "DELETE FROM dag_run WHERE state <> 'running'",
                "DELETE FROM dag WHERE dag_id NOT IN (SELECT dag_id FROM dag_run)",
                "DELETE FROM session",
            ):
                connection.execute(statement)
    words = [str(_program("pg_dump")), "--no-owner", "--no-privileges", "--rows-per-insert=500"]
    text = subprocess.run([*words, url], check=True, capture_output=True, text=True, env=_environment()).stdout
    return re.sub(r"^(--.*|\\(un)?restrict .*)?\n", "", text, flags=re.M)


def without_this_machine(places: dict[str, str]) -> Callable[[str], str]:
    """Places become stand-ins; `half_way.restore` makes them real again."""
    met: set[str] = set()

    def cleaned(text: str) -> str:
        assert not re.search(r"(?<![0-9A-Za-z])7000[1-9](?![0-9A-Za-z])", text), (
            "by chance it is there: make it once more"
        )
        for place, stand_in in places.items():
            text = re.sub(rf"(?<![0-9A-Za-z]){re.escape(place)}(?![0-9A-Za-z])", stand_in, text)
        met.update(new := {host for _, host in HOSTS.findall(text)} - met)
        for host in sorted(new):
            print(f"another host: {host}")
        return HOSTS.sub(r"\1deb.example.org", text)

    return cleaned


def keep(target: Path, name: str, content: bytes) -> None:
    (target / name).write_bytes(gzip.compress(content, 9, mtime=0))


def main(commit: str, folder: Path, target: Path) -> None:
    settings = json.loads((target / "settings.json").read_text())
    installation = Installation(folder, environment=settings["environment"], policies=settings["policies"])
    with installation:
        grid = Grid(installation, folder.parent)
        for begin in (pilots, clients, decisions):
            print(begin.__doc__, flush=True)
            begin(grid)
        url = installation.postgres.url("airflow").replace("+psycopg", "")
        grid.waits_for("that nothing is going on", lambda: at_rest(grid, url))
        installation.airflow.stop()
    write(commit, installation, target)


def write(commit: str, installation: Installation, target: Path) -> None:
    """All that is kept of an installation that has been stopped."""
    folder, grid = installation.folder, installation.grid_folder
    service = (grid / "config" / "service.yaml").read_text()
    ports = [str(installation.grid["services"]["repository"]), re.search(r"public_url: (\S+)", service)[1]]
    ports += [f":{json.loads(p.read_text())['port']}" for p in sorted(grid.glob("sites/*/etc/pilot-service.json"))]
    numbers = [re.search(r":(\d+)", re.sub(r"^\w+://", "", port))[1] for port in ports]
    places = {str(folder): "@installation@", str(Path.cwd()): "@checkout@"}
    places |= {number: str(70001 + n) for n, number in enumerate(numbers)}
    places |= dict.fromkeys((socket.getfqdn(), socket.gethostname()), "localhost")
    cleaned = without_this_machine(places)
    with installation.postgres as postgres:
        for name in postgres.databases:
            dump = database(postgres.url(name).replace("+psycopg", ""), airflows=name == "airflow")
            keep(target, f"{name}.sql.gz", cleaned(dump).encode())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted({path for pattern in KEPT for path in grid.glob(pattern)}):
            entry = tar.gettarinfo(path, str(path.relative_to(folder)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            if not entry.isfile():
                tar.addfile(entry)
                continue
            content = path.read_bytes()
            if path.name in BY_NAME or ("sites" not in path.parts and path.suffix in TEXTS):
                # in a mail an address may go over the end of a line
                text = content.decode()
                content = cleaned(
                    re.sub(r"(?<![=?])=\r?\n(?=[^\r\n -])", "", text) if path.suffix == ".eml" else text
                ).encode()
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    keep(target, "grid.tar.gz", packed.getvalue())
    made = {"commit": commit, "stopped": datetime.now(UTC).date().isoformat(), "repository": numbers[0]}
    (target / "made.json").write_text(json.dumps(made) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
