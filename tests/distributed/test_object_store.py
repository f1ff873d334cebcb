"""What we keep in an object store: artefacts, pages, logs of tasks; and what becomes of those without its key."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk import Connection
from tests.support.front import site, write_config
from tests.support.nodes import open_folder
from tests.support.object_store import ObjectStore
from upath import UPath

from pps.activities.sites.diagnosis import Health
from pps.adapters.packages.artefacts import ArtefactStore
from pps.adapters.packages.folders import PublishedFolder
from pps.cli.doctor_folders import folder_findings
from pps.cli.front import Front
from pps.config.loader import load_configuration
from pps.domain.base.errors import ServiceError
from pps.sandbox.airflow.configuration import change_file
from pps.services import Services

pytestmark = pytest.mark.needs("distributed")
ROOT = Path(__file__).resolve().parents[2]

#: As each task opens its services.
PUBLISHES = """
from pps.config.loader import load_configuration
from pps.orchestration.targets import credentials
from pps.services import Services
print(Services(load_configuration(), credentials).publication_folder.publish("page.html", "<p>Fine.</p>"))
"""
#: A supervisor as Airflow has it: it writes the log of a task, forks the next task, which works with the store, and
#: writes the log of that one.
SUPERVISOR = """
import os, sys
from pathlib import Path
from airflow.sdk.configuration import conf
from pps.orchestration.remote_logs import REMOTE_TASK_LOG
from upath import UPath
logs = Path(conf.get("logging", "base_log_folder"))
for number in (1, 2, 3):
    (logs / "task").mkdir(parents=True, exist_ok=True)
    (logs / "task" / "attempt=1.log").write_text(f"leg {number}\\n")
    child = os.fork()
    if child == 0:
        UPath(f"s3://pps/marks/{number}").write_bytes(b"done")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    REMOTE_TASK_LOG.upload("task/attempt=1.log")
print(REMOTE_TASK_LOG.read("task/attempt=1.log", None))
"""


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with open_folder("pps-object-store-") as folder:
        running = ObjectStore(folder / "store")
        running.start()
        yield running
        running.stop()


def test_artefacts_and_pages_are_kept_there_and_nobody_without_the_key_reads_or_writes_them(
    store: ObjectStore, tmp_path: Path
) -> None:
    def of(**who: str) -> tuple[ArtefactStore, PublishedFolder]:
        options = {"endpoint_url": store.url, "key": store.key, "secret": store.secret, **who}
        place = UPath("s3://pps/kept", skip_instance_cache=True, **options)
        return ArtefactStore(place, tmp_path / "cache"), PublishedFolder(place / "www")

    package = tmp_path / "a.deb"
    package.write_bytes(b"a package")
    digest = hashlib.sha256(b"a package").hexdigest()
    artefacts, pages = of()
    artefacts.keep_package(package, digest)
    assert pages.publish("notes.html", "<p>Fine.</p>")
    assert not pages.publish("notes.html", "<p>Fine.</p>")
    artefacts, pages = of()  # another node
    assert artefacts.local_package(digest).read_bytes() == b"a package"
    assert pages.read("notes.html") == b"<p>Fine.</p>"
    assert pages.read("missing.html") is None
    for wrong in ({"secret": "wrong"}, {"key": "somebody-else"}):
        artefacts, pages = of(**wrong)
        with pytest.raises(ServiceError, match="PermissionError"):
            artefacts.keep_package(package, digest)
        with pytest.raises(ServiceError, match="PermissionError"):
            pages.read("notes.html")
        with pytest.raises(ServiceError, match="PermissionError"):
            pages.publish("notes.html", "<p>Another text.</p>")
    assert of()[1].read("notes.html") == b"<p>Fine.</p>"


def test_a_connection_of_airflow_says_who_we_are_there_and_doctor_tells_which_without_its_secret(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_config(tmp_path / "etc", [site("PIC")]).folder
    change_file(folder, "service.yaml", {"publication_folder": "s3://pps/connected"})
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def task(connection: dict[str, str] | None) -> str:
        """What a task does, where Airflow has this Connection."""
        settings = {"PYTHONPATH": str(ROOT / "plugins"), "PPS_CONFIG": str(folder), "HOME": str(tmp_path)}
        settings["AIRFLOW_HOME"] = str(tmp_path / "airflow")
        if connection:
            settings["AIRFLOW_CONN_PPS_OBJECT_STORE"] = json.dumps(connection)
        done = subprocess.run(
            [sys.executable, "-c", PUBLISHES], env=os.environ | settings, capture_output=True, text=True
        )
        assert store.secret not in done.stdout + done.stderr
        return done.stdout + done.stderr

    connection = {name: value for name, value in store.connection.items() if name != "connection_id"}
    assert task(connection).split()[-1] == "True"
    assert "PermissionError" in task(connection | {"password": "wrong"})
    assert "Unable to locate credentials" in task(None)

    def doctor(uri: str | None) -> tuple[Health, str]:
        services = Services(load_configuration(folder), lambda name: uri if name == "pps_object_store" else None)
        (found,) = [f for f in folder_findings(Front(services), None) if f.subject == "publication folder"]
        return found.health, found.text

    uri = str(Connection(conn_id="pps_object_store", **connection).get_uri())
    writable = "s3://pps/connected is writable, with the key of the"
    assert doctor(uri) == (Health.OK, f"{writable} Connection pps_object_store.")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    assert doctor(None) == (Health.OK, f"{writable} variables AWS_*.")
    health, text = doctor(uri.replace(store.secret, "wrong"))
    assert (health, "Connection pps_object_store" in text) == (Health.FAIL, True)


def test_logs_of_tasks_come_from_all_nodes_though_the_tasks_work_with_the_store_themselves(
    store: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "node_name.py").write_text("import os\ndef name() -> str:\n    return os.environ['PPS_NODE']\n")

    def supervise(node: str) -> str:
        environment = os.environ | store.environment
        environment |= {
            "PYTHONPATH": f"{ROOT / 'plugins'}:{tmp_path}",
            "PPS_NODE": node,
            "AIRFLOW_HOME": str(tmp_path / node),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "node_name.name",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(tmp_path / node / "logs"),
            "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "s3://pps/logs",
        }
        # one that never hears of its task's end is not waited for for ever
        done = subprocess.run(
            [sys.executable, "-c", SUPERVISOR], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    supervise("worker-1")
    place = "s3://pps/logs/task/attempt=1.log"
    said = supervise("worker-2")
    assert said == str(([f"{place}@worker-1", f"{place}@worker-2"], ["leg 3\n", "leg 3\n"]))
