"""Services: composed when first asked for, and silent about secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.front import site, write_config

from pps.cli.output import to_data
from pps.domain.base.errors import ConfigurationError
from pps.services import Services, credentials_from_environment


def test_the_store_says_what_to_set_when_it_is_unknown(tmp_path: Path) -> None:
    services = Services(write_config(tmp_path, []), lambda _: None)
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_PPS_STORE"):
        _ = services.facts


def test_credentials_are_read_as_airflow_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PPS_STORE", "postgresql://u:p@h/d")
    assert credentials_from_environment("pps_store") == "postgresql://u:p@h/d"
    assert credentials_from_environment("pps_tracker") is None


@pytest.mark.parametrize("secret", ["", "short"])
def test_a_missing_or_short_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("PPS_FEEDBACK_SECRET", secret)
    with pytest.raises(ConfigurationError, match="openssl rand -hex 32"):
        _ = Services(write_config(tmp_path, [])).feedback_secret


def test_a_broken_sites_file_does_not_break_what_needs_no_sites(tmp_path: Path) -> None:
    config = write_config(tmp_path, [])
    (config.folder / "sites.yaml").write_text("][")
    assert Services(config).config.service.smtp_port == 25


def test_targets_come_from_the_registry_and_keep_their_key_to_themselves(tmp_path: Path) -> None:
    config = write_config(tmp_path, [site("PIC")])
    text = (config.folder / "sites.yaml").read_text()
    (config.folder / "sites.yaml").write_text(f"ssh_key_file: /etc/pps/the_key\n{text}")
    (target,) = Services(config).targets(config.sites.values())
    assert (target.site, target.host, target.key_file) == ("PIC", "ui.pic.example.org", Path("/etc/pps/the_key"))
    assert "the_key" not in repr(target)
    (config.folder / "sites.yaml").write_text(f"ssh_key_file: keys/the_key\n{text}")
    (target,) = Services(type(config)(config.folder)).targets(config.sites.values())
    assert target.key_file == config.folder.resolve() / "keys" / "the_key"
    assert "the_key" not in str(to_data(target))
