"""Every secret that an installation of the sandbox has, and where one of them stands in its logs."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pps.sandbox.airflow.installation import Installation
from pps.sandbox.grid.control import TOKEN_FILE
from pps.sandbox.grid.smtp import kept_mails, read_mail

_TOKEN = re.compile(r"[?&]token=([^\s\"'<>&)]+)")


def secrets_of(installation: Installation) -> dict[str, str]:
    """What it is -> the secret, or a part of a long one that is in no other."""
    airflow = installation.airflow
    assert airflow is not None
    environment = airflow.environment()
    found = {
        name: environment[name]
        for name in (
            *("PPS_FEEDBACK_SECRET", "PPS_METRICS_TOKEN", "AIRFLOW__CORE__FERNET_KEY"),
            *("AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"),
        )
    }
    for name in ("AIRFLOW_CONN_PPS_STORE", "AIRFLOW_CONN_PPS_TRACKER", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"):
        found[f"password of {name}"] = unquote(urlsplit(environment[name]).password or "")
    found |= {f"password of {user}": airflow.password(user) for user in airflow.users}
    found["the sites' control token"] = (installation.grid_folder / TOKEN_FILE).read_text().strip()
    found |= _of_key("signing key", unquote(urlsplit(environment["AIRFLOW_CONN_PPS_SIGNING"]).password or ""))
    key = installation.services().config.sites_file.ssh_key_file
    assert key is not None
    found |= _of_key("sites' private key", (installation.services().config.folder / key).read_text())
    for number, token in enumerate(sorted(_invitations(Path(installation.grid["mails"])))):
        found[f"invitation {number}"] = token
    assert all(len(secret) >= 12 for secret in found.values()), [n for n, s in found.items() if len(s) < 12]
    return found


def _of_key(name: str, text: str) -> dict[str, str]:
    """Lines of a private key; the last whole one is random in all forms that keys have."""
    lines = [line for line in text.split() if len(line) >= 48 and not line.startswith("-")]
    if not lines:  # a binary one, in one long text
        lines = [text[-96:-16]]
    return {name: lines[-1]}


def _invitations(mails: Path) -> Iterator[str]:
    seen = set()
    for mail in kept_mails(mails):
        parts = [p for p in read_mail(mails, mail).walk() if p.get_content_maintype() == "text"]
        for token in _TOKEN.findall("\n".join(str(p.get_content()) for p in parts)):  # type: ignore[attr-defined]
            if token not in seen:
                seen.add(token)
                yield unquote(token)


def logs_of(installation: Installation) -> list[Path]:
    """All files into which a process of it, or a task, writes what it does."""
    return sorted(f for f in installation.folder.rglob("*.log") if f.is_file())


def found_in(logs: list[Path], secrets: dict[str, str]) -> list[str]:
    """Which secret stands in which log; as it is, or in the forms in which it is sent or kept."""
    forms = {
        form: name
        for name, secret in secrets.items()
        for form in {secret.encode(), base64.b64encode(f":{secret}".encode()), base64.b64encode(secret.encode())}
    }
    found = []
    for log in logs:
        content = log.read_bytes()
        found += [f"{name} in {log.name} of {log.parent}" for form, name in forms.items() if form in content]
    return found
