from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bad_input import ADDRESSES

from pps.activities.ports.people import Mail
from pps.adapters.services.mail import SmtpMailer, message_id
from pps.domain.base.errors import InvalidNameError
from pps.domain.base.texts import one_line

MAILER = SmtpMailer(
    "localhost",
    25,
    sender="pps@example.org",
    reply_to="pps-support@example.org",
    user="pps",
    password="canary-secret",
    clock=lambda: datetime(2025, 12, 1, 9, 30, tzinfo=UTC),
)


def mail(**fields: object) -> Mail:
    return Mail(**{"key": "bc-client-1-1/x/a", "to": "a@example.org", "subject": "Hello", "text": "Hello.\n", **fields})  # type: ignore[arg-type]


def sent(one: Mail) -> list[tuple[str, str]]:
    return [(k, str(v)) for k, v in message_from_bytes(MAILER.message(one).as_bytes(), policy=policy.default).items()]


def test_a_mail_carries_what_readers_and_their_programs_need() -> None:
    attachments = (("requirement.jdl", "text/plain", 'Requirements = "é";\n'),)
    message = message_from_bytes(
        MAILER.message(mail(subject="Grüße", html="<p>é</p>", attachments=attachments)).as_bytes(),
        policy=policy.default,
    )
    assert message["Subject"] == "Grüße"
    assert message["From"] == "Pre-Production Service <pps@example.org>"
    assert message["Reply-To"] == "pps-support@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Id"] == "<pps.example.org>"
    assert message["Date"].datetime == MAILER.clock()
    assert message["Message-ID"] == message_id("bc-client-1-1/x/a", "pps@example.org")
    parts = {
        p.get_content_type(): p.get_content().replace("\r\n", "\n")
        for p in message.walk()
        if not p.is_multipart() and not p.get_filename()
    }
    assert parts == {"text/plain": "Hello.\n", "text/html": "<p>é</p>\n"}
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "requirement.jdl"
    assert attachment.get_content().replace("\r\n", "\n") == 'Requirements = "é";\n'


def test_the_same_key_has_the_same_message_id_and_another_key_another() -> None:
    assert message_id("a", "x@example.org") == message_id("a", "x@example.org") != message_id("b", "x@example.org")


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_recipient_that_is_not_one_plain_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidNameError):
        MAILER.message(mail(to=address))


@pytest.mark.parametrize("text", [*ADDRESSES, "x\0y", "x\u202ey", "\r", ""])
def test_a_subject_is_one_line_and_adds_no_header(text: str) -> None:
    headers = sent(mail(subject=text))
    assert [k for k, _ in headers] == [k for k, _ in sent(mail())]
    assert dict(headers)["Subject"] == one_line(text).replace("=?", "= ?")


def test_an_encoded_word_in_a_subject_is_not_decoded() -> None:
    headers = sent(mail(subject="=?utf-8?q?x=0ABcc:_e=40x?="))
    assert [k for k, _ in headers if k.lower() == "bcc"] == []
    assert dict(headers)["Subject"] == "= ?utf-8?q?x=0ABcc:_e=40x?="


@given(st.text(max_size=60))
def test_no_subject_changes_the_set_of_headers(subject: str) -> None:
    assert [k for k, _ in sent(mail(subject=subject))] == [k for k, _ in sent(mail())]


@pytest.mark.parametrize(
    "attachment", [("a\nb", "text/plain", ""), ("a.txt", "text/plain\nX: y", ""), ("../a", "text/plain", "")]
)
def test_names_of_attachments_are_names(attachment: tuple[str, str, str]) -> None:
    with pytest.raises(InvalidNameError):
        MAILER.message(mail(attachments=(attachment,)))


@pytest.mark.sd("4.1.3", step=4)
def test_an_invitation_says_in_its_content_type_that_it_is_one() -> None:
    calendar = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nSUMMARY:é\r\nEND:VCALENDAR\r\n"
    made = MAILER.message(mail(attachments=(("invitation.ics", "text/calendar", calendar),)))
    (attachment,) = message_from_bytes(made.as_bytes(), policy=policy.default).iter_attachments()
    assert attachment["Content-Type"].params == {"charset": "utf-8", "method": "REQUEST"}
    assert attachment.get_payload(decode=True).decode() == calendar, "with its own ends of lines"


def test_the_password_is_not_shown() -> None:
    assert "canary-secret" not in repr(MAILER)
