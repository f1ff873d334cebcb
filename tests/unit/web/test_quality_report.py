"""The report of a product: what the page says, on paper."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.bad_input import HTML
from tests.support.quality import MANAGER, OTHER, PROVIDER, AQuality
from tests.unit.web.test_pages import Read

from pps.adapters.services.pdf import as_pdf
from pps.domain.base.errors import ServiceError

WN = "/api/v1/quality/glite-WN"


@pytest.fixture
def world(tmp_path: Path) -> AQuality:
    return AQuality.of(tmp_path)


def text_of(pdf: bytes, folder: Path) -> str:
    (folder / "report.pdf").write_bytes(pdf)
    made = subprocess.run(
        ["pdftotext", "-layout", str(folder / "report.pdf"), "-"], capture_output=True, text=True, check=True
    )
    return " ".join(made.stdout.split())


def act(world: AQuality, text: str = "Test large files before each release.") -> None:
    client = world.who(PROVIDER)
    client.post(f"{WN}/targets", json={"measure": "regressions", "target": 0, "reason": text})
    client.post(f"{WN}/actions", json={"text": text, "owner": "gina", "due": "2025-12-24"})
    client.post(f"{WN}/reviews", json={"text": text})


@pytest.mark.needs("pango")
def test_the_report_on_paper_says_what_the_one_on_the_screen_says(world: AQuality, tmp_path: Path) -> None:
    act(world)
    client = world.who(PROVIDER)
    pdf, html = client.get("/quality/glite-WN/report.pdf"), client.get("/quality/glite-WN/report.html")
    assert (pdf.headers["content-type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")
    on_paper, on_screen = text_of(pdf.content, tmp_path), Read(html.text).words
    for word in ("Quality of glite-WN", "Provider globus", "9 of 12 (75 %)", "12 days", "Test large files before each"):
        assert word in on_paper, word
        assert word in on_screen, word
    assert "of 4" in on_paper  # each page says which of how many it is
    assert html.text.count("<svg ") == 9
    assert "https://pps.example.org/pps/quality/glite-WN/releases/4703" in html.text


@pytest.mark.parametrize("file", ["report.html", "report.pdf"])
def test_a_report_is_for_those_who_see_the_product(world: AQuality, file: str) -> None:
    assert world.who(OTHER).get(f"/quality/glite-WN/{file}").status_code == 403
    assert world.who().get(f"/quality/glite-WN/{file}").status_code == 401
    assert world.who(MANAGER).get(f"/quality/none/{file}").status_code == 404
    assert world.who(MANAGER).get(f"/quality/glite-WN/{file}", params={"since": "then"}).status_code == 422


@pytest.mark.needs("pango")
def test_hostile_texts_are_text_on_paper_too_and_nothing_is_fetched(world: AQuality, tmp_path: Path) -> None:
    for text in HTML:
        act(world, f"Three words at least. {text}")
    html = world.who(PROVIDER).get("/quality/glite-WN/report.html")
    assert "<script" not in html.text
    assert "<img" not in html.text
    assert "default-src 'none'" in html.headers["content-security-policy"]
    assert "Three words at least." in text_of(world.who(PROVIDER).get("/quality/glite-WN/report.pdf").content, tmp_path)


@pytest.mark.needs("pango")
@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.png", "file:///etc/passwd", "data:image/png;base64,AA=="])
def test_a_document_that_wants_something_fetched_is_none(address: str) -> None:
    assert as_pdf("<h1>Fine</h1>")[:5] == b"%PDF-"
    with pytest.raises(ServiceError, match="nothing is fetched"):
        as_pdf(f'<p><img src="{address}"></p>')


def test_a_machine_without_the_libraries_says_so_and_keeps_the_page(
    world: AQuality, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(html: str) -> bytes:
        raise ServiceError("PDF", "a library is missing here.", "On Debian: apt-get install libpango-1.0-0")

    monkeypatch.setattr("pps.web.quality_report.as_pdf", missing)
    assert world.who(PROVIDER).get("/quality/glite-WN/report.pdf").status_code == 503
    assert world.who(PROVIDER).get("/quality/glite-WN/report.html").status_code == 200
