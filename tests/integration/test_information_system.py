"""The sandbox's information system, with both of its servers, as clients of the real one would use it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ldap3 import MODIFY_REPLACE, NONE, Connection, Server
from ldap3.core.exceptions import LDAPException

from pps.adapters.services.bdii import Bdii
from pps.domain.base.errors import InvalidNameError, ServiceError
from pps.domain.sites.site import Platform
from pps.sandbox.grid import ldap_servers
from pps.sandbox.grid.information_system import PublishedSite, SandboxInformationSystem, read_tags
from pps.sandbox.grid.published_services import DeclaredService, declare_services

DEBIAN = Platform("debian12", "amd64")
VOS = ["ops", "atlas"]


@pytest.fixture(params=[pytest.param("slapd", marks=pytest.mark.needs("slapd")), "ldaptor"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "ldaptor":
        monkeypatch.setattr(ldap_servers, "_schemas", lambda: None)
    return str(request.param)


def site(root: Path, number: int, **options: object) -> PublishedSite:
    tag_dir = root / f"info{number}"
    tag_dir.mkdir(exist_ok=True)
    options = {"services_file": root / f"services{number}.json", **options}
    return PublishedSite(f"SITE-{number}", f"ce.site{number}.example.org", tag_dir, DEBIAN, **options)  # type: ignore[arg-type]


def publish(site: PublishedSite, text: str | bytes, vo: str = "ops") -> None:
    file = site.tag_dir / site.subcluster / vo / f"{vo}.list"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def eventually(condition: Callable[[], object], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def system(server: str, tmp_path: Path) -> Iterator[tuple[SandboxInformationSystem, list[PublishedSite], Bdii]]:
    sites = [site(tmp_path, 0), site(tmp_path, 1, stale=True), site(tmp_path, 2, publish_after_s=3600.0)]
    publish(sites[1], "VO-ops-OLD")
    with SandboxInformationSystem(tmp_path / "is", sites, VOS) as running:
        assert running.kind == server
        yield running, sites, Bdii(running.url)


def test_every_site_is_published_from_the_start(system) -> None:
    _, sites, bdii = system
    assert bdii.tags_of([s.subcluster for s in sites]) == {
        "ce.site0.example.org": frozenset(),
        "ce.site1.example.org": {"VO-ops-OLD"},
        "ce.site2.example.org": frozenset(),
    }


def test_a_changed_list_is_published_by_itself(system) -> None:
    _, sites, bdii = system
    publish(sites[0], "VO-ops-A VO-ops-B\n")
    eventually(lambda: bdii.tags_of([sites[0].subcluster])[sites[0].subcluster] == {"VO-ops-A", "VO-ops-B"})
    publish(sites[0], "VO-atlas-C", vo="atlas")
    eventually(lambda: "VO-atlas-C" in bdii.tags_of([sites[0].subcluster])[sites[0].subcluster])
    shutil.rmtree(sites[0].tag_dir)
    eventually(lambda: bdii.tags_of([sites[0].subcluster])[sites[0].subcluster] == frozenset())


def test_declared_services_are_published_changed_and_withdrawn_by_themselves(system, tmp_path: Path) -> None:
    running, sites, bdii = system
    file = sites[0].services_file
    assert bdii.services_of(["wms.example.org"]) == {"wms.example.org": ()}

    def versions() -> list[str]:
        return [s.version for s in bdii.services_of(["wms.example.org"])["wms.example.org"]]

    service = DeclaredService("SITE-0_wms", "org.glite.wms", "3.1.22", "https://wms.example.org:7443/")
    declare_services(file, [service])
    eventually(lambda: versions() == ["3.1.22"])
    declare_services(file, [service._replace(version="3.1.23")])
    eventually(lambda: versions() == ["3.1.23"])
    file.write_text('{"services": [{"id": "a,o=grid"}, 7, {"id": "x", "type": "\\n"}]}')
    running.refresh()
    assert versions() == []
    declare_services(file, [service])
    running.refresh()
    file.write_bytes(b"\xff{[")
    running.refresh()
    assert versions() == []


def test_a_late_site_is_published_late_and_a_stale_one_never(system) -> None:
    running, sites, bdii = system
    for s in sites:
        publish(s, "VO-ops-A")
    eventually(lambda: bdii.tags_of([sites[0].subcluster])[sites[0].subcluster] == {"VO-ops-A"})
    assert bdii.tags_of([sites[2].subcluster])[sites[2].subcluster] == frozenset()
    running.refresh()
    assert bdii.tags_of([sites[2].subcluster])[sites[2].subcluster] == {"VO-ops-A"}
    assert bdii.tags_of([sites[1].subcluster])[sites[1].subcluster] == {"VO-ops-OLD"}


def test_hostile_lists_publish_their_tags_and_nothing_else(system) -> None:
    running, sites, bdii = system
    publish(
        sites[0],
        b"VO-ops-A\x00 v\nchangetype: delete\n:colon <file:///etc/passwd \xff\xfe \x1b[2J VO-ops-a VO-ops-B\n"
        + b"x" * 9999,
    )
    running.refresh()
    # words of the junk that could be tags are published as such, as a real provider does
    expected = {"VO-ops-a", "VO-ops-B", "v", "delete", "changetype:"}
    assert bdii.tags_of([sites[0].subcluster])[sites[0].subcluster] == expected
    assert set(bdii.tags_of([s.subcluster for s in sites])) == {s.subcluster for s in sites}


def test_nobody_else_may_write(system) -> None:
    running, sites, bdii = system
    ce = sites[0].subcluster
    dn = f"GlueSubClusterUniqueID={ce},GlueClusterUniqueID={ce},mds-vo-name=SITE-0,mds-vo-name=local,o=grid"
    port = int(running.url.rpartition(":")[2])
    anonymous = Connection(Server("127.0.0.1", port, get_info=NONE), auto_bind=True, check_names=False)
    attribute = "GlueHostApplicationSoftwareRunTimeEnvironment"
    assert not anonymous.modify(dn, {attribute: [(MODIFY_REPLACE, ["VO-all-root"])]})
    assert not anonymous.delete(dn)
    anonymous.unbind()
    with pytest.raises(LDAPException):
        Connection(Server("127.0.0.1", port, get_info=NONE), "o=grid", "wrong", auto_bind=True)
    assert bdii.tags_of([sites[0].subcluster]) == {sites[0].subcluster: frozenset()}


def test_it_is_gone_when_it_is_stopped(server: str, tmp_path: Path) -> None:
    running = SandboxInformationSystem(tmp_path / "is", [site(tmp_path, 0)], VOS)
    running.start()
    port = int(running.url.rpartition(":")[2])
    running.stop()
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), 1):
        pass


def test_it_can_be_started_again_in_the_same_folder_on_the_same_port(server: str, tmp_path: Path) -> None:
    port = ldap_servers.free_port()
    for _ in range(2):
        with SandboxInformationSystem(tmp_path / "is", [site(tmp_path, 0)], VOS, port) as running:
            assert Bdii(running.url).tags_of(["ce.site0.example.org"]) == {"ce.site0.example.org": frozenset()}


def test_a_port_that_is_taken_is_an_error(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldap_servers, "_START_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServiceError, match="does not start"):
        SandboxInformationSystem(tmp_path / "is", [site(tmp_path, 0)], VOS, taken.getsockname()[1]).start()


@pytest.mark.parametrize("name", ["a,o=grid", "a+b=c", "#0", " lead", "a\nb", "é", "", "../x"])
def test_names_that_do_not_belong_into_a_dn_are_refused(tmp_path: Path, name: str) -> None:
    for bad in ((name, "ce.example.org", tmp_path, DEBIAN), ("SITE", name, tmp_path, DEBIAN)):
        with pytest.raises(InvalidNameError):
            SandboxInformationSystem(tmp_path / "is", [bad], VOS)
    with pytest.raises(InvalidNameError):
        SandboxInformationSystem(tmp_path / "is", [], [name])


@pytest.mark.parametrize("name", ["long_queue", "ce.example.org:8443/cream-pbs-ops", "batch queue", "a+b"])
def test_an_id_that_is_no_host_name_is_published_out_of_its_folder(server: str, tmp_path: Path, name: str) -> None:
    one = PublishedSite("SITE", name, tmp_path / "info", DEBIAN)
    publish(one, "VO-ops-A")
    with SandboxInformationSystem(tmp_path / "is", [one], VOS) as running:
        assert Bdii(running.url).tags_of([name]) == {name: {"VO-ops-A"}}


def test_a_plus_in_a_sites_name_is_escaped(server: str, tmp_path: Path) -> None:
    sites = [("SITE+1", "ce.example.org", tmp_path, DEBIAN)]
    with SandboxInformationSystem(tmp_path / "is", sites, VOS) as running:
        assert Bdii(running.url).tags_of(["ce.example.org"]) == {"ce.example.org": frozenset()}


def test_the_legacy_list_is_read_where_only_that_exists(tmp_path: Path) -> None:
    one = site(tmp_path, 0)
    (one.tag_dir / "ops").mkdir()
    (one.tag_dir / "ops/ops.list").write_text("VO-ops-OLD")
    assert read_tags(one, VOS) == ["VO-ops-OLD"]
    publish(one, "VO-ops-NEW")
    assert read_tags(one, VOS) == ["VO-ops-NEW"]


@pytest.mark.needs("slapd")
def test_other_clients_can_read_it(tmp_path: Path) -> None:
    one = site(tmp_path, 0)
    publish(one, "VO-ops-A")
    with SandboxInformationSystem(tmp_path / "is", [one], VOS) as running:
        search = ["ldapsearch", "-x", "-LLL", "-H", running.url, "-b", "mds-vo-name=SITE-0,mds-vo-name=local,o=grid"]
        text = subprocess.run(search, capture_output=True, text=True, check=True).stdout
    assert "GlueHostApplicationSoftwareRunTimeEnvironment: VO-ops-A" in text
    assert "GlueHostOperatingSystemName: debian" in text
    assert text.count("GlueCEUniqueID: ") == 2
