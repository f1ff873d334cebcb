"""deploy/container without an engine: the recipe's own steps on a clean Debian, and what came of them is started."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support.debian_machine import short_folder
from tests.support.image_root import Image, image

pytestmark = [pytest.mark.install, pytest.mark.needs("debian-machine", "clean-root")]
CHECKOUT = Path(__file__).parents[2]
CONTAINER = CHECKOUT / "deploy" / "container"
#: Names that Airflow resolves when a part of it starts.
RESOLVES = """
import importlib, json, sys
from airflow.executors.executor_loader import ExecutorLoader
for name in sys.argv[1:]:
    module, _, attribute = ExecutorLoader.executors.get(name, name).rpartition(".")
    print(getattr(importlib.import_module(module), attribute).__name__)
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Image]:
    with (
        short_folder("pps-image-") as folder,
        image(CONTAINER / "Containerfile", CHECKOUT, folder) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def mounts(made: Image) -> Iterator[dict[str, Path | None]]:
    """Those of the pod's template: what a configuration and a secret bring, and empty places to write to."""
    pod = yaml.safe_load((CONTAINER / "pod-template.yaml").read_text())["spec"]
    with short_folder("pps-mounts-") as folder:
        config, key = folder / "config", folder / "key"
        shutil.copytree(CHECKOUT / "deploy" / "etc-pps", config)
        for name in ("policies.yaml", "activities.yaml"):
            shutil.copy(CHECKOUT / "config" / name, config)
        key.mkdir()
        (key / "id_ed25519").write_text("a key\n")
        kinds = {"configMap": config, "secret": key, "emptyDir": None}
        sources = {v["name"]: next(kinds[kind] for kind in kinds if kind in v) for v in pod["volumes"]}
        (container,) = pod["containers"]
        yield {mount["mountPath"]: sources[mount["name"]] for mount in container["volumeMounts"]}


def test_each_part_answers_to_a_user_without_rights_on_a_read_only_root(
    made: Image, mounts: dict[str, Path | None]
) -> None:
    def says(*words: str, code: int = 0) -> str:
        done = made.starts(*words, mounts=mounts)
        assert done.returncode == code, f"{words}: {done.stdout[-3000:]}"
        return done.stdout

    values = yaml.safe_load((CONTAINER / "values.yaml").read_text())
    assert says().split()[-1] == values["airflowVersion"], "the command that the recipe names"
    assert says("bash", "-c", "id -u; id -g; umask").split()[:2] == ["50000", "0"]
    for place in ("/opt/pps/rollout/x", "/etc/pps/x", "/x"):
        assert "Read-only file system" in says("bash", "-c", f"touch {place}", code=1)
    assert says("bash", "-c", "cat /etc/pps-ssh/id_ed25519; ls /root/.cache 2>&1 || true").startswith("a key\n")
    # as the chart starts a part, and as it asks whether one lives
    assert "Usage: airflow api-server" in says(
        *values["apiServer"]["args"][:2], f"{values['apiServer']['args'][2]} --help"
    )
    assert says("sh", "-c", "exec /entrypoint airflow version").split()[-1] == values["airflowVersion"]
    assert says("pps", "--version").strip()

    found = {f["subject"]: f["health"] for f in json.loads(says("pps", "doctor", "--json", code=1))}
    assert found["sites.yaml"] == "OK"
    assert found["database"] == "FAIL", "there is none here, and it says so"


def test_every_class_that_values_and_settings_name_is_in_the_image(made: Image, mounts: dict[str, Path | None]) -> None:
    executors = [
        yaml.safe_load((CONTAINER / f"values-{n}.yaml").read_text())["executor"] for n in ("celery", "kubernetes")
    ]
    lines = (CHECKOUT / "deploy" / "etc-pps" / "pps.env").read_text().splitlines()
    ours = sorted({line.split("'")[1] for line in lines if "='pps." in line})
    assert len(ours) == 3
    done = made.starts("python", "-c", RESOLVES, *executors, *ours, mounts=mounts)
    assert done.returncode == 0, done.stdout[-3000:]
    named = [name.rpartition(".")[2] for name in (*executors, *ours)]
    assert [line for line in done.stdout.splitlines() if line in named] == named
