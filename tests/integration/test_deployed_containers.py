"""deploy/container: the recipe has the steps of the documentation, and Kubernetes takes the templates."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "deploy" / "container"
DOCS = (ROOT / "docs" / "production.md").read_text()


def steps(text: str) -> list[str]:
    """Commands, one a line."""
    return [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def celery() -> dict[str, Any]:
    """What is said of the workers of CeleryExecutor."""
    return dict(yaml.safe_load((CONTAINER / "values-celery.yaml").read_text()))


def test_an_image_is_made_by_the_steps_that_the_documentation_runs() -> None:
    recipe = steps(
        "\n".join(x for x in (CONTAINER / "Containerfile").read_text().splitlines() if not x.startswith("#"))
    )
    runs = [part for line in recipe if line.startswith("RUN ") for part in line.removeprefix("RUN ").split(" && ")]
    documented = [part for block in re.findall(r"^```sh run\n(.*?)^```$", DOCS, re.M | re.S) for part in steps(block)]
    documented = [part for line in documented for part in line.split(" && ")]
    of_an_image = {
        "rm -rf /var/lib/apt/lists/*",
        "rm -rf /root/.cache",
        "ln -s /opt/pps/rollout/deploy/container/entrypoint /entrypoint",
    }
    assert len(runs) > len(of_an_image) + 2
    assert set(runs) - set(documented) == of_an_image
    users = [line for line in recipe if line.startswith("USER ")]
    assert users == ["USER 50000:0"], "a number: Kubernetes cannot see that a name is not root's"
    assert recipe.index(users[0]) > max(i for i, line in enumerate(recipe) if line.startswith(("RUN", "COPY")))
    left_out = set((ROOT / ".containerignore").read_text().split())
    assert not left_out & {"dags", "plugins", "include", "config", "bin", "deploy", "requirements-production.lock"}


def test_the_entrypoint_takes_what_the_chart_says(tmp_path: Path) -> None:
    (tmp_path / "airflow").write_text('#!/bin/sh\necho airflow "$@"\n')
    (tmp_path / "airflow").chmod(0o755)

    def said(*words: str) -> str:
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        command = ["sh", str(CONTAINER / "entrypoint"), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert said("scheduler", "--skip-serve-logs") == "airflow scheduler --skip-serve-logs"
    assert said("airflow", "tasks", "run") == "airflow tasks run"
    assert said("bash", "-c", "echo hello") == "hello"


def test_kubernetes_takes_the_pod_and_it_is_shut_in() -> None:
    pod = yaml.safe_load((CONTAINER / "pod-template.yaml").read_text())
    for version in ("1.29", "1.33"):
        kubernetes_validate.validate(pod, version, strict=True)
    (container,) = pod["spec"]["containers"]
    assert container["name"] == "base"
    secured = container["securityContext"]
    assert secured == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_the_values_say_the_same_as_the_pod() -> None:
    pod = yaml.safe_load((CONTAINER / "pod-template.yaml").read_text())["spec"]
    (container,) = pod["containers"]
    values = yaml.safe_load((CONTAINER / "values.yaml").read_text())
    assert values["securityContexts"] == {"pod": pod["securityContext"], "containers": container["securityContext"]}
    assert yaml.safe_load(values["extraEnvFrom"]) == container["envFrom"]
    assert values["volumeMounts"] == [m for m in container["volumeMounts"] if m["name"] != "airflow-home"]
    assert values["volumes"] == [v for v in pod["volumes"] if v["name"] != "airflow-home"]
    assert container["image"] == f"{values['defaultAirflowRepository']}:{values['defaultAirflowTag']}"
    # what the chart would start beside each part is a script of the official image
    parts = [values["scheduler"], values["dagProcessor"], values["triggerer"], celery()["workers"]["celery"]]
    assert [part["logGroomerSidecar"] for part in parts] == [{"enabled": False}] * 4
    assert values["createUserJob"] == {"enabled": False}, "the chart's own admin has a known password"
    executors = [
        yaml.safe_load((CONTAINER / f"values-{n}.yaml").read_text())["executor"] for n in ("celery", "kubernetes")
    ]
    assert executors == ["CeleryExecutor", "KubernetesExecutor"]


def test_whoever_has_the_chart_is_told_which_of_our_values_it_would_not_take(tmp_path: Path) -> None:
    """The chart's own schema cannot be had from a registry; this one has its shape."""

    def said(schema: dict[str, Any]) -> tuple[int, list[str]]:
        (tmp_path / "values.schema.json").write_text(json.dumps(schema))
        command = [sys.executable, str(CONTAINER / "check-values"), str(tmp_path / "values.schema.json")]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines()

    values = yaml.safe_load((CONTAINER / "values.yaml").read_text())
    known: dict[str, Any] = {name: {} for name in {*values, *celery(), "podTemplate"}}
    schema: dict[str, Any] = {"$schema": "http://json-schema.org/draft-07/schema", "properties": known}
    assert said(schema) == (0, ["0 settings that this chart does not take."])

    known["triggerer"] = {"properties": {"replicas": {"type": "string"}, "persistence": {}, "resources": {}}}
    known["workers"] = {"properties": {"celery": {"description": "Celery workers (deprecated, use `pools`)."}}}
    known["executor"] = {"enum": ["CeleryExecutor"]}
    del known["createUserJob"]
    code, lines = said(schema)
    assert code == 1
    both = [f"{e}: {w}" for e in ("celery", "kubernetes") for w in ("createUserJob", "triggerer.logGroomerSidecar")]
    assert {f"{name}: is no setting of this chart" for name in both} <= set(lines)
    assert "celery: workers.celery: deprecated" in lines
    assert "celery: triggerer.replicas: 2 is not of type 'string'" in lines
    assert [line for line in lines if line.startswith("kubernetes: executor: 'KubernetesExecutor' is not one of")]
    assert lines[-1] == "7 settings that this chart does not take."
