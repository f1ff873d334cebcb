"""The mail sink over SMTP."""

from __future__ import annotations

import smtplib
import socket
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from tests.support.sandbox_grid import RunningGrid, sandbox_grid, start_grid  # noqa: F401

from pps.sandbox.grid.smtp import kept_mails, read_mail


def send(grid: RunningGrid, data: bytes, *recipients: str) -> None:
    service = grid.configuration.service
    with smtplib.SMTP(service.smtp_host, service.smtp_port, timeout=10) as smtp:
        smtp.sendmail("pps-support@example.org", recipients or ["atlas-vo-support@example.org"], data)


def mails_folder(grid: RunningGrid) -> Path:
    return Path(grid.control.description["mails"])


def test_a_mail_is_kept_as_it_came_under_a_name_that_says_what_it_is(sandbox_grid: RunningGrid):
    message = EmailMessage()
    message["Subject"] = "Preview of glite-WN 3.1.23: please verify größere Listen"
    message["To"] = "cms-vo-support@example.org"
    message["Message-ID"] = "<key@example.org>"
    message.set_content("Dear VO,\n.\n..\nplease try.\n")
    message.add_alternative("<p>please try</p>", subtype="html")
    send(sandbox_grid, message.as_bytes(policy=SMTP), "cms-vo-support@example.org")

    (mail,) = kept_mails(mails_folder(sandbox_grid), to="cms-vo")
    assert mail.subject == message["Subject"]
    assert mail.message_id == "<key@example.org>"
    assert mail.file.endswith("-cms-vo-support-preview-of-glite-wn-3-1-23-please-verify-gr-ere-listen.eml")
    body = read_mail(mails_folder(sandbox_grid), mail).get_body(("plain",))
    assert body.get_content().replace("\r\n", "\n") == "Dear VO,\n.\n..\nplease try.\n"


@pytest.mark.parametrize(
    "header",
    [
        b"Subject: ../../../etc/cron.d/x",
        b"Subject: =?utf-8?q?x=0ABcc:_e=40x?=",
        b"Subject: =?utf-8?b?G1sySg==?=",
        b"Subject: =?utf-8?q?=E2=80=AEgnp.exe?=",
        b"Subject: =?nonsense?q?x?=",
        b"Subject: =?utf-8?b?!!!!?=",
        b"Subject: \xff\xfe\x80",
        b"Subject: " + b"long " * 150,
        b"Subject: folded\r\n over\r\n\tlines",
        b"Subject: one\r\nSubject: two",
        b"Subject:",
        b"Subject: \x00\x1b[31mred",
        b"Message-ID: <<<>>>\r\nSubject: x",
        b"Message-ID: [\r\nSubject: x",
        b"no header at all",
        b"",
    ],
)
def test_hostile_headers_lose_no_mail_and_reach_neither_paths_nor_terminals(sandbox_grid: RunningGrid, header: bytes):
    folder = mails_folder(sandbox_grid)
    before = len(kept_mails(folder))
    send(sandbox_grid, header + b"\r\nX-Test: 1\r\n\r\nbody\r\n")

    after = kept_mails(folder)
    assert len(after) == before + 1
    mail = after[-1]
    assert mail.subject.isprintable() and mail.message_id.isprintable()
    assert len(mail.file) < 140
    assert set(mail.file) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.TZ")
    assert (folder / mail.file).read_bytes().endswith(b"body\r\n")
    assert {p.parent for p in folder.rglob("*")} == {folder}


def test_a_hostile_recipient_stays_inside_the_folder(sandbox_grid: RunningGrid):
    send(sandbox_grid, b"Subject: x\r\n\r\nbody\r\n", '"../../etc/passwd"@example.org', "b@example.org")
    mail = kept_mails(mails_folder(sandbox_grid))[-1]
    assert mail.recipients == ("../../etc/passwd@example.org", "b@example.org")
    assert (mails_folder(sandbox_grid) / mail.file).parent == mails_folder(sandbox_grid)


def test_a_mail_that_is_too_large_is_refused_and_the_sink_goes_on(sandbox_grid: RunningGrid):
    before = len(kept_mails(mails_folder(sandbox_grid)))
    with pytest.raises(smtplib.SMTPException):
        send(sandbox_grid, b"Subject: x\r\n\r\n" + b"x" * 70 * 1024 * 1024)
    send(sandbox_grid, b"Subject: x\r\n\r\nbody\r\n")
    assert len(kept_mails(mails_folder(sandbox_grid))) == before + 1


def test_a_mail_that_is_cut_off_is_not_kept(sandbox_grid: RunningGrid):
    service = sandbox_grid.configuration.service
    before = len(kept_mails(mails_folder(sandbox_grid)))
    with socket.create_connection((service.smtp_host, service.smtp_port), 5) as line:
        for command in (
            b"",
            b"HELO x\r\n",
            b"MAIL FROM:<a@example.org>\r\n",
            b"RCPT TO:<b@example.org>\r\n",
            b"DATA\r\n",
        ):
            line.sendall(command)
            line.recv(1000)
        line.sendall(b"Subject: half\r\n\r\nand no en")
    send(sandbox_grid, b"Subject: whole\r\n\r\nbody\r\n")
    assert [m.subject for m in kept_mails(mails_folder(sandbox_grid))[before:]] == ["whole"]


def test_numbers_go_on_after_a_restart_and_a_torn_line_costs_only_itself(tmp_path: Path):
    with start_grid(tmp_path / "g", "--sites", "1") as grid:
        send(grid, b"Subject: first\r\n\r\nbody\r\n")
        index = mails_folder(grid) / "index.jsonl"
    with index.open("a") as file:
        file.write('{"number": 2, "fi')
    with start_grid(tmp_path / "g") as grid:
        send(grid, b"Subject: second\r\n\r\nbody\r\n")
        assert [(m.number, m.subject) for m in kept_mails(mails_folder(grid))] == [(1, "first"), (2, "second")]
