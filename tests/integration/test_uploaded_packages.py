"""Providers upload packages into a repository of ours, and submit what lies there; real packages, signatures, HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_submitted_releases import CLIENT, LOG
from tests.support.browser import Browser, browser  # noqa: F401
from tests.support.described import as_described
from tests.support.provider import Provider, apt_provider  # noqa: F401
from tests.support.submitting import OTHER, PAT, Submitting
from tests.support.web_server import served
from tests.unit.web.test_pages import Read

from pps.domain.packages.patch import PackageRef, RepositoryKind
from pps.domain.record.facts import FactKind
from pps.sandbox.provider.package_formats import SamplePackage

RPM = replace(CLIENT, ref=PackageRef("client", "1.0-1", "noarch"))


@pytest.fixture
def world(apt_provider: Provider, tmp_path: Path) -> Iterator[Submitting]:
    (tmp_path / "world").mkdir()
    made = Submitting(apt_provider, tmp_path / "world")
    yield made
    made.store.dispose()


@pytest.mark.parametrize(("package", "kind"), [(CLIENT, RepositoryKind.APT), (RPM, RepositoryKind.YUM)])
def test_what_is_uploaded_is_signed_by_us_and_can_be_submitted(
    world: Submitting, package: SamplePackage, kind: RepositoryKind
) -> None:
    answer = as_described(world.web, world.upload(world.made(package, kind)))
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert said["package"] == {"name": "client", "version": "1.0-1", "arch": package.ref.arch}
    assert (said["provider"], said["repository"]["kind"]) == ("grid-europe", kind)
    again = world.upload(world.made(package, kind))
    assert (again.status_code, again.json()["new"]) == (200, False)
    platform = "debian12-amd64" if kind is RepositoryKind.APT else "el9-x86_64"
    named = {"repository": said["repository"], "packages": [said["package"]], "platforms": [platform]}
    found = world.sent(world.document(**named))
    assert found["state"] == "entered"
    assert "unsigned" not in [f["code"] for f in found["findings"]], "our own key is asked for"


def test_what_somebody_changes_in_our_repository_is_not_believed(world: Submitting) -> None:
    said = world.upload(world.made(CLIENT)).json()
    for name in ("InRelease", "Release"):
        (file,) = (world.provider.http.folder / "uploads").rglob(name)
        file.write_bytes(file.read_bytes().replace(b"Suite: uploads", b"Suite: changed"))
    found = world.sent(world.document(repository=said["repository"], packages=[said["package"]]))
    assert (found["state"], [f["code"] for f in found["findings"] if f["weight"] == "fault"]) == ("refused", ["index"])


def test_other_content_under_a_name_and_version_that_is_there_is_refused(world: Submitting) -> None:
    world.upload(world.made(CLIENT))
    answer = world.upload(world.made(replace(CLIENT, summary="Something else.")))
    assert (answer.status_code, "published already, with other content" in answer.text) == (422, True)
    assert len(world.store.facts_of_kind([FactKind.PACKAGE_UPLOADED])) == 1


@pytest.mark.parametrize("who", ["ana:Site Administrator", "rita:Release Manager", "root:Admin", ""])
def test_nobody_but_a_providers_people_uploads(world: Submitting, who: str) -> None:
    assert world.upload(world.made(CLIENT), who).status_code == (403 if who else 401)
    assert world.upload(world.made(CLIENT), who, "?provider=grid-europe").status_code == (403 if who else 401)
    assert not list((world.provider.http.folder / "uploads").iterdir())


def test_nobody_uploads_for_another_provider_nor_from_another_sites_page(world: Submitting) -> None:
    assert world.upload(world.made(CLIENT), OTHER, "?provider=grid-europe").status_code == 403
    assert world.upload(world.made(CLIENT), PAT, "", Origin="https://evil.example.net").status_code == 403
    assert world.upload(world.made(CLIENT), OTHER).json()["provider"] == "others"


def test_what_is_no_package_or_a_hostile_one_is_refused_and_nothing_of_it_is_published(world: Submitting) -> None:
    out = SamplePackage(PackageRef("evil", "1-1", "all"), {"../../etc/cron.d/x": (0o644, "* * * * * root id\n"), **LOG})
    for data in (b"no package", world.made(CLIENT)[:-200], world.made(out), b"!<arch>\n", b"\xed\xab\xee\xdb" * 30):
        answer = world.upload(data)
        assert (answer.status_code, answer.json()["detail"] != "") == (422, True), answer.text
    assert world.upload(b"").status_code == 422
    assert world.upload(world.made(CLIENT), **{"Content-Type": "application/json"}).status_code == 415
    published = [p.name for p in (world.provider.http.folder / "uploads").rglob("*.deb")]
    assert not [name for name in published if "evil" in name]


def test_a_package_that_is_too_large_is_cut_off_and_days_have_a_limit(world: Submitting) -> None:
    config = world.services.config
    small = config.policies.submission.model_copy(update={"upload_bytes_at_most": 500, "uploads_per_day": 1})
    data = world.made(CLIENT)
    config.__dict__["policies"] = config.policies.model_copy(update={"submission": small})
    assert len(data) > 500 and world.upload(data).status_code == 413
    in_pieces = iter([data[:400], data[400:]])  # nobody says how long it will be
    assert world.upload(in_pieces).status_code == 413
    larger = small.model_copy(update={"upload_bytes_at_most": 10**6})
    config.__dict__["policies"] = config.policies.model_copy(update={"submission": larger})
    assert world.upload(data).status_code == 201
    other = world.made(replace(CLIENT, ref=PackageRef("client", "1.1-1", "all")))
    assert "packages in a day are enough" in world.upload(other).text
    assert world.upload(data).status_code == 200, "the same file once more is no other one"


def test_its_index_is_signed_again_in_time(world: Submitting) -> None:
    world.upload(world.made(CLIENT))
    roots = [str(own.root) for own in world.services.own_indexes(world.clock())]
    assert any(root.endswith("uploads/grid-europe/apt") for root in roots)


# --- from the form of a release


class Filled(Read):
    """What stands in the fields of a form."""

    def __init__(self, html: str) -> None:
        self.typed: dict[str, str] = {}
        self._in = ""
        super().__init__(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        found = dict(attrs)
        if tag in ("textarea", "select", "input") and found.get("type") not in ("checkbox", "file"):
            self._in = str(found["name"])
            self.typed[self._in] = found.get("value") or ""
        elif tag == "option" and "selected" in found:
            self.typed[self._in] = found["value"] or ""

    def handle_endtag(self, tag: str) -> None:
        self._in = "" if tag == "textarea" else self._in

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if "rows" in self.fields.get(self._in, {}):
            self.typed[self._in] += data.removeprefix("\n")


def read(answer: Any) -> tuple[int, str, dict[str, str]]:
    """Status, words, and what stands in the form."""
    page = Filled(answer.text)
    return answer.status_code, page.words, page.typed


def test_packages_that_are_chosen_in_the_form_are_published_and_named_in_it_and_the_rest_is_kept(
    world: Submitting,
) -> None:
    typed = {"do": "upload", "metapackage": "glite-WN", "release_notes": "Two\r\nlines.", "packages": "typed 1 all"}
    libs = replace(CLIENT, ref=PackageRef("libs", "1.0-1", "all"))
    answer = world.choose(typed, ("a.deb", world.made(CLIENT)), ("b.deb", world.made(libs)))
    status, words, fields = read(answer)
    assert status == 200, words
    assert "Nothing is submitted yet." in words
    assert fields["packages"] == "typed 1 all\nclient 1.0-1 all\nlibs 1.0-1 all"
    assert (fields["metapackage"], fields["release_notes"]) == ("glite-WN", "Two\nlines.")
    by_program = world.upload(world.made(CLIENT)).json()
    assert not by_program["new"], "it is the same repository"
    there = by_program["repository"]
    assert (fields["repository_kind"], fields["url"], fields["suite"]) == ("apt", there["url"], there["suite"])
    assert fields["components"].split() == there["components"]
    again = world.choose({**fields, "do": "upload"}, ("a.deb", world.made(CLIENT)))
    assert read(again)[2]["packages"] == fields["packages"], "no line twice"
    assert "this very file was there already" in read(again)[1]
    assert not world.store.facts_of_kind([FactKind.RELEASE_OFFERED])


def test_the_form_refuses_a_package_in_the_words_of_the_door_and_takes_the_others(world: Submitting) -> None:
    out = SamplePackage(PackageRef("evil", "1-1", "all"), {"../../etc/cron.d/x": (0o644, "* * * * * root id\n"), **LOG})
    for bad in (b"!<arch>\n", world.made(CLIENT)[:-200], world.made(out)):
        words = world.upload(bad).json()["detail"].removeprefix("the package: ")
        status, said, fields = read(world.choose({"do": "submit", "title": "Mine"}, ("<b>.deb", bad)))
        assert (status, fields["title"], fields["packages"]) == (422, "Mine", "")
        assert f"<b>.deb: {' '.join(words.split())}" in said
    status, said, fields = read(world.choose({"do": "upload"}, ("bad.deb", bad), ("good.deb", world.made(CLIENT))))
    assert (status, fields["packages"]) == (422, "client 1.0-1 all")
    assert "bad.deb: " in said and "This package is in our repository now" in said


def test_what_is_too_large_for_the_form_is_said_before_and_after_and_what_was_typed_comes_back(
    world: Submitting,
) -> None:
    config, data = world.services.config, world.made(CLIENT)
    policy = config.policies.submission.model_copy(update={"upload_bytes_at_most": len(data), "uploads_per_day": 2})
    together = config.policies.tarball.model_copy(update={"package_bytes_at_most": 2 * len(data)})
    update = {"submission": policy, "tarball": together}
    config.__dict__["policies"] = config.policies.model_copy(update=update)
    assert f"({len(data)} bytes)" in Read(world.get("/provider/submit").text).words
    typed = {"do": "upload", "title": "Before the file", "release_notes": "After it."}
    status, said, fields = read(world.choose(typed, ("large.deb", data + b"x" * 500)))
    assert (status, fields["title"], fields["release_notes"]) == (422, "Before the file", "After it.")
    assert f"large.deb: The package is larger than {len(data)} bytes." in said
    _, said, _ = read(world.choose(typed, *[(f"{n}.deb", data) for n in range(3)]))
    assert f"2.deb: All packages together are larger than {2 * len(data)} bytes." in said
    _, said, _ = read(world.choose(typed, *[(f"{n}.deb", data[:9]) for n in range(21)]))
    assert "20.deb: At most 20 files are taken at a time." in said
    assert world.choose(typed, ("huge.deb", bytes(300_000))).status_code == 413, "it is not even read to its end"
    long = world.choose({**typed, "release_notes": "x" * 70_000})
    assert (long.status_code, "is larger than 65536 bytes" in long.text) == (413, True)
    assert len(list((world.provider.http.folder / "uploads").rglob("*.deb"))) == 1


def test_a_release_has_one_repository_and_the_form_does_not_mix_them(world: Submitting) -> None:
    both = ("a.deb", world.made(CLIENT)), ("a.rpm", world.made(RPM, RepositoryKind.YUM))
    status, said, _ = read(world.choose({"do": "upload"}, *both))
    assert (status, "Nothing was uploaded: a release has one repository" in said) == (422, True)
    typed = {"do": "upload", "url": "https://repository.example.org/x", "packages": "theirs 1 all"}
    status, said, fields = read(world.choose(typed, both[0]))
    assert (status, fields["url"], fields["packages"]) == (422, typed["url"], typed["packages"])
    assert "the form names another repository (https://repository.example.org/x)" in said
    assert not world.store.facts_of_kind([FactKind.PACKAGE_UPLOADED])
    status, _, fields = read(world.choose({"do": "upload"}, both[1]))
    assert (status, fields["repository_kind"], fields["packages"]) == (200, "yum", "client 1.0-1 noarch")
    status, said, _ = read(world.choose({"do": "upload"}))
    assert (status, "Choose one or more .deb or .rpm files first." in said) == (422, True)


@pytest.mark.parametrize("who", ["ana:Site Administrator", "rita:Release Manager", "root:Admin", ""])
def test_the_form_takes_files_from_a_providers_people_alone(world: Submitting, who: str) -> None:
    answer = world.choose({"do": "upload", "provider": "grid-europe"}, ("a.deb", world.made(CLIENT)), who=who)
    assert answer.status_code == (403 if who else 401)
    assert "files" not in Read(world.get("/provider/submit", who).text).fields
    assert not list((world.provider.http.folder / "uploads").iterdir())


def test_the_form_takes_no_files_for_another_provider_nor_from_another_sites_page(world: Submitting) -> None:
    theirs = {"do": "upload", "provider": "grid-europe"}
    assert world.choose(theirs, ("a.deb", world.made(CLIENT)), who=OTHER).status_code == 403
    evil = "https://evil.example.net"
    assert world.choose({"do": "upload"}, ("a.deb", world.made(CLIENT)), Origin=evil).status_code == 403
    assert not list((world.provider.http.folder / "uploads").iterdir())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n",
        b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1",
        b"--b\r\nContent-Disposition: attachment; name=x\r\n\r\n1\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n\xff\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n" * 2 + b"--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=../x; filename=../../x\r\n\r\n1\r\n--b--\r\n",
        b"".join(b"--b\r\nContent-Disposition: form-data; name=x%d\r\n\r\n1\r\n" % n for n in range(400))
        + b"--b--\r\n",
    ],
)
def test_what_is_no_form_with_files_is_refused(world: Submitting, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Authorization": f"Bearer {PAT}"}
    assert world.web.post("/provider/submit", content=body, headers=headers).status_code == 422
    headers["Content-Type"] = "multipart/form-data"
    assert world.web.post("/provider/submit", content=body, headers=headers).status_code == 422


@pytest.mark.needs("browser")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_person_chooses_files_in_a_browser_without_scripts_and_submits_what_was_uploaded(
    world: Submitting,
    browser: Browser,
    width: int,
) -> None:
    def choose(*names: str) -> None:
        found = browser.call("Runtime.evaluate", expression="document.getElementById('files')")["result"]
        browser.call("DOM.setFileInputFiles", files=names, objectId=found["objectId"])

    def press(do: str, then: str) -> None:
        before = browser.js("performance.timeOrigin")
        browser.js(f"document.querySelector('button[value={do}]').click()")
        browser.wait(lambda: browser.js("performance.timeOrigin") != before and browser.js(then))

    world.made(CLIENT)
    package, large = str(next((world.folder / "upload").iterdir())), world.folder / "large.deb"
    config = world.services.config
    small = config.policies.submission.model_copy(update={"upload_bytes_at_most": 10**6})
    config.__dict__["policies"] = config.policies.model_copy(update={"submission": small})
    large.write_bytes(b"!<arch>\n" + bytes(8 * 10**6))
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.call("Network.enable")
    browser.call("Network.setExtraHTTPHeaders", headers={"Authorization": f"Bearer {PAT}"})
    with served({"/pps": world.app}) as url:
        browser.open(f"{url}/pps/provider/submit")
        typed = {"metapackage": "glite-WN", "version": "3.1.24", "title": "x", "platforms": "debian12-amd64"}
        for name, value in {**typed, "release_notes": "It is new."}.items():
            browser.js(f"document.getElementById('{name}').value = {value!r}")
        choose(str(large))
        press("upload", "document.getElementById('why') !== null")
        assert "large.deb: The package is larger than 1000000 bytes." in browser.js("document.body.textContent")
        assert browser.js("document.getElementById('release_notes').value") == "It is new."
        choose(package)
        press("upload", "document.getElementById('uploaded') !== null")
        assert browser.js("document.getElementById('packages').value") == "client 1.0-1 all"
        assert browser.js("document.documentElement.scrollWidth <= innerWidth")
        press("submit", "location.pathname.endsWith('/provider/glite-WN/3.1.24')")
        assert world.ended()["state"] == "entered"
        assert [c for c in browser.complaints if "422" not in c] == []
