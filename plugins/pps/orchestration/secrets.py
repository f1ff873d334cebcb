"""Airflow Connections `ssh_site_<name>` made from the site registry, instead of 300 typed by hand.

Configured by `AIRFLOW__SECRETS__BACKEND` and `AIRFLOW__WORKERS__SECRETS_BACKEND`, both
`pps.orchestration.secrets.GridSecretsBackend`. Airflow imports this while it reads its own
configuration, so nothing else of Airflow may be imported here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.secrets.base_secrets import BaseSecretsBackend

if TYPE_CHECKING:
    from pps.config.loader import Configuration

PREFIX = "ssh_site_"


class GridSecretsBackend(BaseSecretsBackend):
    """Answers for the sites of sites.yaml that name no Connection of their own, and for nothing else.

    Host keys are pinned: a site without one is not in the registry. The key itself never passes
    through Airflow; the Connection names its file on the worker.

    Args:
        config_folder: folder with sites.yaml; else `PPS_CONFIG`, else ./config.
    """

    def __init__(self, config_folder: str = "", **_: object) -> None:
        super().__init__()
        self._folder = Path(config_folder) if config_folder else None
        self._configuration: Configuration | None = None
        self._seen: tuple[int, int, int] | None = None

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        """The Connection as Airflow's JSON, or None for others to answer; `ConfigurationError` for a bad sites.yaml."""
        if not conn_id.startswith(PREFIX):
            return None
        configuration = self._current()
        site = configuration.sites.get(conn_id.removeprefix(PREFIX))
        if site is None or site.connection != conn_id or site.fetches:
            return None
        ssh = site.login
        extra = {"host_key": ssh.host_key, "look_for_keys": False}
        if key_file := configuration.sites_file.ssh_key_file:
            extra["key_file"] = str(configuration.folder.resolve() / key_file.expanduser())
        return json.dumps({"conn_type": "ssh", "host": ssh.host, "port": ssh.port, "login": ssh.user, "extra": extra})

    def get_variable(self, key: str, team_name: str | None = None) -> str | None:
        """We keep no variables."""
        return None

    def _current(self) -> Configuration:
        """The registry as it stands now; read again when the file has changed (also when it was replaced)."""
        from pps.config.loader import load_configuration

        configuration = load_configuration(self._folder)
        try:
            status = (configuration.folder / "sites.yaml").stat()
        except OSError:
            return configuration  # whoever asks it for sites gets the reason
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._configuration is None or seen != self._seen or self._configuration.folder != configuration.folder:
            self._configuration, self._seen = configuration, seen
        return self._configuration
