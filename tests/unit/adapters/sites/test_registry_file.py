"""sites.yaml is changed in place: what was not meant stays to the letter, or nothing is written at all."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.support.gocdb import HOST_KEY

from pps.activities.sites.registry_import import ImportPlan, SiteChange
from pps.adapters.sites import registry_file
from pps.adapters.sites.registry_file import apply_plan, edited, read_registry
from pps.config.loader import Configuration
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError

TEXT = f"""\
# The registry.
ssh_key_file: /etc/pps/id_ed25519   # for all of them
sites:
  # Italy first
  - name: IT-PERUGIA        # since 2007
    roc: Italy
    platform: debian12-amd64
    ssh: {{host: ui.example.org, user: ppsadm, host_key: "{HOST_KEY}"}}
    preview_root: /opt/pps
    production_root: /opt/glite
    profile_d: /etc/profile.d
    tag_dir: /opt/glite/var/info
    subcluster: ce.example.org
    contact: 'grid-admin@example.org'   # the list
    partner_levels:   # agreed in May
      - Silver
      - Gold

    # asked in June
    accepts_previews: true

  - {{name: IT-LECCE, roc: Italy, platform: debian12-amd64, preview_root: /opt/pps, production_root: /opt/glite,
     ssh: {{host: ui.example.org, user: ppsadm, host_key: "{HOST_KEY}"}}, profile_d: /etc/profile.d,
     tag_dir: /opt/info, subcluster: ce.example.org, contact: a@example.org}}   # flow
# the end
"""


def entry(name: str, **different: Any) -> dict[str, Any]:
    return {
        "name": name,
        "roc": "Italy",
        "platform": "debian12-amd64",
        "ssh": {"host": "ui.example.org", "user": "ppsadm", "host_key": HOST_KEY},
        "preview_root": "/opt/pps",
        "production_root": "/opt/glite",
        "profile_d": "/etc/profile.d",
        "tag_dir": "/opt/info",
        "subcluster": "ce.example.org",
        "contact": "a@example.org",
        **different,
    }


def plan(*additions: Mapping[str, Any], **changes: Any) -> ImportPlan:
    """`PERUGIA_roc="x"`: the key roc of IT-PERUGIA."""
    made = []
    for name, new in changes.items():
        site, _, key = name.partition("_")
        made.append(SiteChange(f"IT-{site}", key, None, new))
    return ImportPlan(changes=tuple(made), additions=additions)


def written(folder: Path, text: str = TEXT) -> Path:
    path = folder / "sites.yaml"
    path.write_bytes(text.encode())
    return path


def after(path: Path, what: ImportPlan) -> str:
    assert apply_plan(read_registry(path), what)
    return path.read_bytes().decode()


def test_only_the_changed_value_changes(tmp_path: Path) -> None:
    new = after(written(tmp_path), plan(PERUGIA_roc="NGI_IT", PERUGIA_contact="ops@example.org"))
    assert new == TEXT.replace("roc: Italy\n    platform", "roc: NGI_IT\n    platform").replace(
        "'grid-admin@example.org'   # the list", "ops@example.org   # the list"
    )


def test_a_new_key_stands_at_the_end_of_its_site_and_comments_stay(tmp_path: Path) -> None:
    new = after(written(tmp_path), plan(PERUGIA_certification="Suspended", LECCE_timezone="Europe/Rome"))
    assert "    accepts_previews: true\n    certification: Suspended\n\n  - {name" in new
    assert "contact: a@example.org, timezone: Europe/Rome}   # flow\n# the end\n" in new
    for comment in ("# The registry.", "# for all of them", "# Italy first", "# since 2007", "# asked in June"):
        assert comment in new


def test_a_list_on_lines_of_its_own_is_replaced_with_nothing_behind_it(tmp_path: Path) -> None:
    new = after(written(tmp_path), plan(PERUGIA_partner_levels=["Platinum"]))
    assert "    partner_levels: [Platinum]\n\n    # asked in June\n" in new


def test_a_new_site_stands_behind_the_last_one(tmp_path: Path) -> None:
    services = [{"type": "CREAM-CE", "host": "ce.example.org", "in_production": True}]
    path = written(tmp_path)
    new = after(path, plan(entry("IT-MODENA", services=services), entry("IT-ANCONA")))
    assert new.index("# flow") < new.index("  - name: IT-MODENA") < new.index("  - name: IT-ANCONA")
    assert "      - {type: CREAM-CE, host: ce.example.org, in_production: true}\n" in new
    assert new.startswith(TEXT.removesuffix("# the end\n"))
    sites = Configuration(tmp_path).sites
    assert list(sites) == ["IT-PERUGIA", "IT-LECCE", "IT-MODENA", "IT-ANCONA"]


@pytest.mark.parametrize(
    "text",
    [
        "sites: []\n",
        "sites: []",
        "sites: []   # none yet\n# more\n",
        "# head\nsites:\n  []\n",
        "sites: []\nssh_key_file: /etc/pps/key\n",
        "sites: []\r\n# by hand\r\n",
        yaml.safe_dump({"sites": [entry("A")]}),
        yaml.safe_dump({"sites": [entry("A")]}).rstrip(),
        yaml.safe_dump({"sites": [entry("A")], "ssh_key_file": "/etc/pps/key"}, sort_keys=True),
        "{sites: []}",
        "sites: [{x}]\n".replace("{x}", yaml.safe_dump(entry("A"), default_flow_style=True, width=10**6).strip()),
        "\ufeffsites: []\n",
        "---\nsites: []\n...\n",
    ],
    ids=range(13),
)
def test_a_site_is_added_however_the_file_is_laid_out_or_nothing_is_written(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    before = list(Configuration(tmp_path).sites)
    try:
        new = after(path, plan(entry("NEW", contact="\u00e9".encode().hex() + "@example.org")))
    except ConfigurationError as error:
        assert "sites.yaml is unchanged" in str(error)
        assert path.read_bytes() == text.encode()
        assert text == "{sites: []}"
        return
    assert list(Configuration(tmp_path).sites) == [*before, "NEW"]
    assert ("\r\n" in new) is ("\r\n" in text)
    assert "\n" not in new.replace("\r\n", "") if "\r\n" in text else True
    assert not [line for line in new.splitlines() if line != line.rstrip()]


def test_ids_and_contacts_as_sites_have_them_stand_in_the_file_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path)
    ids = ["ce:8443/batch queue", "long_queue", "a: b", "12:30:45", "no"]
    new = [entry(f"NEW-{n}", subcluster=sub, contact="a@x.org, b@y.org") for n, sub in enumerate(ids)]
    after(path, plan(*new, PERUGIA_contact="c@x.org, d@y.org"))
    sites = {site.name: site.to_domain() for site in read_registry(path).file.sites}
    assert [sites[f"NEW-{n}"].subcluster for n in range(len(ids))] == ids
    assert sites["NEW-0"].contacts == ("a@x.org", "b@y.org")
    assert sites["IT-PERUGIA"].contacts == ("c@x.org", "d@y.org")


@pytest.mark.parametrize(
    "before", ["latitude: 44.5   # by hand", "latitude: null", "latitude:   # by hand", "latitude:"]
)
def test_a_place_replaces_one_that_stands_there_and_one_that_was_left_open(tmp_path: Path, before: str) -> None:
    after_it = "longitude: 11.5\n" if "44.5" in before else "longitude: ~\n"
    text = TEXT.replace("    contact: 'grid", f"    {before}\n    {after_it}    contact: 'grid")
    path = written(tmp_path, text)
    new = after(path, plan(PERUGIA_latitude=-43.1, PERUGIA_longitude=12.4, PERUGIA_cpus=1200, LECCE_cpus=80))
    assert f"latitude: -43.1{'   # by hand' if 'by hand' in before else ''}\n    longitude: 12.4\n" in new
    assert "accepts_previews: true\n    cpus: 1200\n" in new
    perugia, lecce = Configuration(tmp_path).sites.values()
    assert (perugia.place, perugia.cpus, lecce.place, lecce.cpus) == ((-43.1, 12.4), 1200, None, 80)


@pytest.mark.parametrize("value", ["no", "1.10", "1e5", "null", "~", "NO", "12:30:45", "- a", "a: b", "#x", "'", "{"])
def test_a_value_that_yaml_would_take_for_another_is_quoted(value: str) -> None:
    text = edited(yaml.safe_dump({"sites": [entry("A")]}), [SiteChange("A", "roc", "", value)], [entry("B", roc=value)])
    assert [s["roc"] for s in yaml.safe_load(text)["sites"]] == [value, value]


_KEYS = {
    "roc": st.sampled_from(["Italy", "NGI_IT", "no", "1e5", "007"]),
    "certification": st.sampled_from(["Certified", "Suspended", "Closed"]),
    "timezone": st.sampled_from(["UTC", "Europe/Rome"]),
    "accepts_previews": st.booleans(),
    "partner_levels": st.lists(st.sampled_from(["Silver", "Gold", "Platinum"]), unique=True),
    "latitude": st.sampled_from([None, 43.1, -0.0001, 0.0, -90.0]),
    "cpus": st.sampled_from([None, 1, 10_000_000]),
}
_VALUES = st.fixed_dictionaries({}, optional=_KEYS)


@given(
    st.lists(_VALUES, min_size=1, max_size=3),
    st.lists(_VALUES, max_size=2),
    st.lists(_VALUES, min_size=3, max_size=3),
    st.booleans(),
    st.sampled_from([None, False, True]),
    st.sampled_from(["", "\n", "# end\n", "\n\n   # end"]),
)
def test_every_edit_says_what_was_meant_in_every_layout(
    old: list, additions: list, new: list, indented: bool, flow: bool | None, tail: str
) -> None:
    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow=False, indentless=False):
            return super().increase_indent(flow, indentless and not indented)

    sites = [entry(f"S{n}", **values) for n, values in enumerate(old)]
    text = yaml.dump({"sites": sites}, Dumper=Dumper, sort_keys=False, default_flow_style=flow)
    changes = [SiteChange(f"S{n}", k, None, v) for n, values in enumerate(new[: len(old)]) for k, v in values.items()]
    entries = [entry(f"N{n}", **values) for n, values in enumerate(additions)]
    wanted = [site | new[n] for n, site in enumerate(sites)] + entries
    assert yaml.safe_load(edited(text + tail, changes, entries)) == {"sites": wanted}


# --- writing


def test_the_file_as_it_was_is_kept_and_the_permissions_too(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.chmod(0o640)
    after(path, plan(PERUGIA_roc="NGI_IT"))
    backup = tmp_path / "sites.yaml.bak"
    assert backup.read_text() == TEXT
    assert {stat.S_IMODE(f.stat().st_mode) for f in (path, backup)} == {0o640}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sites.yaml", "sites.yaml.bak"]


def test_an_empty_plan_writes_nothing_and_keeps_the_older_backup(tmp_path: Path) -> None:
    path = written(tmp_path)
    after(path, plan(PERUGIA_roc="NGI_IT"))
    assert not apply_plan(read_registry(path), ImportPlan())
    assert (tmp_path / "sites.yaml.bak").read_text() == TEXT


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = written(tmp_path / "real")
    link = tmp_path / "sites.yaml"
    link.symlink_to(path)
    after(link, plan(PERUGIA_roc="NGI_IT"))
    assert link.is_symlink()
    assert "NGI_IT" in path.read_text()


def test_a_file_that_was_changed_since_it_was_read_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path)
    registry = read_registry(path)
    path.write_text(TEXT + "# mine\n")
    with pytest.raises(NotYetAllowedError, match="has been changed since it was read"):
        apply_plan(registry, plan(PERUGIA_roc="NGI_IT"))
    assert path.read_text() == TEXT + "# mine\n"
    assert [p.name for p in tmp_path.iterdir()] == ["sites.yaml"]


def test_two_imports_at_once_do_not_mix(tmp_path: Path) -> None:
    registry = read_registry(written(tmp_path))
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(NotYetAllowedError, match="another import"):
            apply_plan(registry, plan(PERUGIA_roc="NGI_IT"))
    finally:
        os.close(folder)
    assert apply_plan(registry, plan(PERUGIA_roc="NGI_IT"))


@pytest.mark.parametrize(
    "what",
    [
        plan(PERUGIA_roc="a b"),
        plan(PERUGIA_surprise=1),
        plan(PERUGIA_latitude=43.1),
        plan(PERUGIA_latitude=95.0, PERUGIA_longitude=12.4),
        plan(PERUGIA_preview_root="/opt/glite/pps"),
        plan(entry("it-perugia")),
        plan(entry("NEW", contact="nobody")),
    ],
)
def test_a_result_that_would_not_be_valid_is_not_written(tmp_path: Path, what: ImportPlan) -> None:
    path = written(tmp_path)
    with pytest.raises(ConfigurationError, match=r"would not be valid: .*sites.yaml is unchanged"):
        apply_plan(read_registry(path), what)
    assert path.read_text() == TEXT
    assert [p.name for p in tmp_path.iterdir()] == ["sites.yaml"]


def test_an_edit_that_says_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    monkeypatch.setattr(registry_file, "edited", lambda *_: TEXT.replace("roc: Italy", "roc: Other"))
    with pytest.raises(ConfigurationError, match="by hand"):
        apply_plan(read_registry(path), plan(PERUGIA_roc="NGI_IT"))
    assert path.read_text() == TEXT


def test_a_disk_that_is_full_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        apply_plan(read_registry(path), plan(PERUGIA_roc="NGI_IT"))
    assert path.read_text() == TEXT
    assert [p.name for p in tmp_path.iterdir()] == ["sites.yaml"]
