"""A configuration file that is wrong says where and why, all at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from pps.config import site_models
from pps.config.loader import Configuration, load_configuration
from pps.config.tracker_models import TrackerKind
from pps.domain.base.errors import ConfigurationError
from pps.domain.people.feedback import AS_AGREED, Terms


class NoAliases(yaml.SafeDumper):
    """Writes the same value twice where it stands twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


SITE = {
    "name": "INFN-T1",
    "roc": "Italy",
    "platform": "debian12-amd64",
    "ssh": {"host": "ui.example.org", "user": "ppsadm", "host_key": "ssh-ed25519 " + "A" * 68},
    "preview_root": "/opt/pps",
    "production_root": "/opt/glite",
    "profile_d": "/etc/profile.d",
    "tag_dir": "/opt/info",
    "subcluster": "ce.example.org",
    "contact": "grid@example.org",
}


def sites(folder: Path, text: str) -> Configuration:
    (folder / "sites.yaml").write_text(text, encoding="utf-8")
    return load_configuration(folder)


def test_the_shipped_configuration_is_valid() -> None:
    shipped = load_configuration(Path(__file__).parents[3] / "config")
    assert shipped.policies.feedback.open_for.days == 14
    assert shipped.sites == {}
    assert shipped.tracker.kind is TrackerKind.ROUNDUP
    assert shipped.people.vos == ()
    assert shipped.activity("release-test").credits == 1


def test_a_site_is_read(tmp_path: Path) -> None:
    site = sites(tmp_path, yaml.safe_dump({"sites": [SITE]})).site("INFN-T1")
    assert site.connection == "ssh_site_INFN-T1"
    assert str(site.platform) == "debian12-amd64"


def test_a_registry_of_many_sites_walks_through_the_time_zone_database_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[int] = []

    def walk() -> set[str]:
        walks.append(1)
        return {"UTC", "Europe/Rome"}

    monkeypatch.setattr(site_models, "available_timezones", walk)
    site_models._timezones.cache_clear()
    many = [{**SITE, "name": f"SITE-{n}", "timezone": "Europe/Rome"} for n in range(20)]
    try:
        assert len(sites(tmp_path, yaml.dump({"sites": many}, Dumper=NoAliases)).sites) == 20
    finally:
        site_models._timezones.cache_clear()
    assert walks == [1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sites: [", "sites.yaml, line 1"),
        ("sites: []\nsites: []", "stands twice"),
        ("a: &a [x]\nb: *a", "aliases are not allowed"),
        ("sites: !!python/object/apply:os.system [id]", "sites.yaml"),
        ("nodes: []", "nodes: is not a key that we know"),
        ("sites: [{name: X}]", "sites.X.roc: is missing"),
        ("[" * 3000, "sites.yaml"),
        ("\ufeff{}", "sites: is missing"),
        ("", "sites: is missing"),
        ("- 1", "sites.yaml"),
    ],
)
def test_a_malformed_file_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        sites(tmp_path, text).sites  # noqa: B018


@pytest.mark.parametrize(
    "different",
    [
        {"name": "a b"},
        {"name": "x\n"},
        {"name": False},
        {"contact": "a@b\nc@d"},
        {"contact": "a@b, c"},
        {"contact": " ; "},
        {"contact": ", ".join(f"a{n}@b" for n in range(21))},
        {"subcluster": "../../etc"},
        {"subcluster": "queue\n"},
        {"preview_root": "/opt/../etc"},
        {"platform": "debian12"},
        {"surprise": 1},
        {"ssh": {**SITE["ssh"], "host_key": "learn it"}},
        {"ssh": {**SITE["ssh"], "host_key": SITE["ssh"]["host_key"] + "\n"}},
        {"ssh": {**SITE["ssh"], "host": "-oProxyCommand=id"}},
        {"ssh": {**SITE["ssh"], "port": 0}},
        {"partner_levels": ["Bronze"]},
    ],
)
def test_a_wrong_value_of_a_site_is_refused(tmp_path: Path, different: dict) -> None:
    with pytest.raises(ConfigurationError, match=r"sites\.yaml"):
        sites(tmp_path, yaml.safe_dump({"sites": [{**SITE, **different}]})).sites  # noqa: B018


@pytest.mark.parametrize(
    ("keys", "place", "cpus"),
    [
        ("latitude: 43.11\nlongitude: -12", (43.11, -12.0), None),
        ("latitude: 0\nlongitude: 180\ncpus: 1", (0.0, 180.0), 1),
        ("cpus: 31000", None, 31_000),
        ("latitude:\nlongitude: ~\ncpus:", None, None),
    ],
)
def test_where_a_site_is_and_how_large_is_read(
    tmp_path: Path, keys: str, place: tuple[float, float] | None, cpus: int | None
) -> None:
    text = yaml.safe_dump({"sites": [SITE]}) + "".join(f"  {line}\n" for line in keys.splitlines())
    site = sites(tmp_path, text).site("INFN-T1")
    assert (site.place, site.cpus) == (place, cpus)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("latitude: 43.1", "sites.INFN-T1: has a latitude and no longitude; give both, or neither."),
        ("longitude: 12.4", "sites.INFN-T1: has a longitude and no latitude; give both, or neither."),
        ("latitude: 43.1\nlongitude:", "sites.INFN-T1: has a latitude and no longitude; give both, or neither."),
        (
            "latitude: 90.1\nlongitude: 12.4",
            "INFN-T1.latitude: is 90.1; a latitude is a decimal number of degrees from -90 to 90, north positive.",
        ),
        ("latitude: 43.1\nlongitude: -181", "sites.INFN-T1.longitude: is -181; a longitude is a decimal number"),
        ("latitude: .nan\nlongitude: 12.4", "sites.INFN-T1.latitude: is nan; a latitude is"),
        ("latitude: 43.1\nlongitude: -.inf", "sites.INFN-T1.longitude: is -inf; a longitude is"),
        ("latitude: 43,1\nlongitude: 12.4", "sites.INFN-T1.latitude: is '43,1'; a latitude is"),
        ("latitude: '43.1'\nlongitude: 12.4", "sites.INFN-T1.latitude: is '43.1'; a latitude is"),
        ("latitude: 43:06:36\nlongitude: 12.4", "sites.INFN-T1.latitude: is 155196; a latitude is"),
        ("latitude: yes\nlongitude: 12.4", "sites.INFN-T1.latitude: is True; a latitude is"),
        ("cpus: 0", "sites.INFN-T1.cpus: is 0; a site has a whole number of logical CPUs from 1 to 10000000."),
        ("cpus: -4", "sites.INFN-T1.cpus: is -4; a site has"),
        ("cpus: 12.5", "sites.INFN-T1.cpus: is 12.5; a site has"),
        ("cpus: true", "sites.INFN-T1.cpus: is True; a site has"),
        ("cpus: 10000001", "sites.INFN-T1.cpus: is 10000001; a site has"),
    ],
)
def test_a_place_or_size_that_cannot_be_is_refused_in_a_sentence(tmp_path: Path, keys: str, says: str) -> None:
    text = yaml.safe_dump({"sites": [SITE]}) + "".join(f"  {line}\n" for line in keys.splitlines())
    with pytest.raises(ConfigurationError) as error:
        sites(tmp_path, text).sites  # noqa: B018
    assert says in str(error.value)


def test_a_site_that_is_listed_twice_is_named_whatever_its_case(tmp_path: Path) -> None:
    text = json.dumps({"sites": [SITE, {**SITE, "name": "infn-t1"}]})
    with pytest.raises(ConfigurationError, match="listed twice: INFN-T1, infn-t1"):
        sites(tmp_path, text).sites  # noqa: B018


def test_the_day_from_which_sites_need_a_kit_is_of_all_of_them_and_wants_keys(tmp_path: Path) -> None:
    wanted = {"sites": [SITE], "kits_wanted_from": "2027-03-01T00:00:00Z"}
    kits = {"ssh": {"keys": ["root.1"], "current_key_file": "online"}}
    read = sites(tmp_path, json.dumps({**wanted, "kits": kits})).sites
    assert read["INFN-T1"].kit_wanted_from == datetime(2027, 3, 1, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match="no site could have a kit"):
        sites(tmp_path, json.dumps(wanted)).sites  # noqa: B018


def test_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PPS_CONFIG"):
        load_configuration(tmp_path).policies  # noqa: B018


def test_the_asking_ends_early_as_always_unless_policies_say_otherwise_and_no_minimum_is_beyond_its_end(
    tmp_path: Path,
) -> None:
    shipped = yaml.safe_load((Path(__file__).parents[3] / "config" / "policies.yaml").read_text(encoding="utf-8"))

    def terms(**changes: object) -> Terms:
        changed = {**shipped, "feedback": {**shipped["feedback"], **changes}}
        (tmp_path / "policies.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
        return load_configuration(tmp_path).policies.feedback.terms()

    assert terms() == Terms() == AS_AGREED
    assert terms(earliest="3d", enough=2) == Terms(timedelta(days=3), 2)
    for wrong, why in (({"earliest": "15d"}, "must not be longer than open_for"), ({"enough": 0}, "feedback.enough")):
        with pytest.raises(ConfigurationError, match=why):
            terms(**wrong)


@pytest.mark.parametrize("value", ["14", 14, "14 days", "-1d", "1.5h", ""])
def test_a_duration_without_a_unit_is_refused(tmp_path: Path, value: object) -> None:
    shipped = yaml.safe_load((Path(__file__).parents[3] / "config" / "policies.yaml").read_text(encoding="utf-8"))
    shipped["feedback"]["open_for"] = value
    (tmp_path / "policies.yaml").write_text(yaml.safe_dump(shipped), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"feedback\.open_for: .*whole number with a unit"):
        load_configuration(tmp_path).policies  # noqa: B018


@pytest.mark.parametrize("section", ["roles", "role_contacts"])
def test_a_role_that_does_not_exist_is_refused(tmp_path: Path, section: str) -> None:
    value = {"roles": "{Grand Vizier: [x]}", "role_contacts": "{Grand Vizier: a@example.org}"}[section]
    (tmp_path / "people.yaml").write_text(f"vos: []\nrocs: []\n{section}: {value}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"Grand Vizier.*PPS Coordinator"):
        load_configuration(tmp_path).people  # noqa: B018


def test_a_product_with_two_providers_belongs_to_none_of_them(tmp_path: Path) -> None:
    one = {"name": "globus", "contact": "globus@example.org", "products": ["glite-WN"], "representatives": ["ada"]}
    people = {"vos": [], "rocs": [], "providers": [one]}
    (tmp_path / "people.yaml").write_text(yaml.safe_dump(people))
    (known,) = load_configuration(tmp_path).providers
    assert (known.name, known.products, known.representatives) == ("globus", ("glite-WN",), ("ada",))
    other = {**one, "name": "dpm", "products": ["GLITE-wn"]}
    (tmp_path / "people.yaml").write_text(yaml.dump({**people, "providers": [one, other]}, Dumper=NoAliases))
    with pytest.raises(ConfigurationError, match="more than one provider: glite-wn"):
        _ = load_configuration(tmp_path).providers
