"""Mail through a real SMTP server."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from tests.support.bad_input import ADDRESSES
from tests.support.smtp_sink import SmtpSink, smtp_sink  # noqa: F401

from pps.activities.ports.people import Mail
from pps.adapters.services.mail import message_id
from pps.domain.base.errors import ServiceError


def mails(*names: str) -> list[Mail]:
    return [
        Mail(f"bc-client-1-1/x/{n}", f"{n}@example.org", f"For {n}", f"Dear {n},\n\nhellö.\n", f"<p>{n}</p>")
        for n in names
    ]


def recipients(sink: SmtpSink) -> list[list[str]]:
    return [to for to, _ in sink.envelopes]


def test_a_batch_goes_over_one_connection_one_recipient_to_a_message(smtp_sink: SmtpSink) -> None:
    taken: list[str] = []
    assert smtp_sink.mailer().send(mails("a", "b", "c"), taken.append) == {}
    assert smtp_sink.connections == 1
    assert recipients(smtp_sink) == [["a@example.org"], ["b@example.org"], ["c@example.org"]]
    assert [m["To"] for m in smtp_sink.messages] == ["a@example.org", "b@example.org", "c@example.org"]
    assert taken == [m.key for m in mails("a", "b", "c")]
    assert smtp_sink.messages[0]["Message-ID"] == message_id("bc-client-1-1/x/a", "pps@example.org")
    body = smtp_sink.messages[0].get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == "Dear a,\n\nhellö.\n"


def test_one_refused_recipient_does_not_keep_the_others_from_their_mail(smtp_sink: SmtpSink) -> None:
    smtp_sink.refuse = {"b@example.org"}
    smtp_sink.greylist = {"c@example.org"}
    errors = smtp_sink.mailer().send(mails("a", "b", "c", "d"))
    assert errors == {
        "bc-client-1-1/x/b": "550 5.1.1 no such mailbox",
        "bc-client-1-1/x/c": "451 4.7.1 greylisted, come back later",
    }
    assert recipients(smtp_sink) == [["a@example.org"], ["d@example.org"]]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_bad_address_is_reported_and_reaches_no_server(smtp_sink: SmtpSink, address: str) -> None:
    (bad,) = (Mail("k/bad", address, "s", "t"),)
    errors = smtp_sink.mailer().send([bad, *mails("a")])
    assert list(errors) == ["k/bad"]
    assert recipients(smtp_sink) == [["a@example.org"]]
    assert smtp_sink.messages[0]["Bcc"] is None


def test_a_server_that_hangs_up_after_some_mails_is_called_again(smtp_sink: SmtpSink) -> None:
    smtp_sink.hang_up_after = 2
    names = "abcdef"
    waiting = mails(*names)
    for _ in range(4):
        errors = smtp_sink.mailer().send(waiting)
        waiting = [m for m in waiting if m.key in errors]
    assert waiting == []
    assert sorted(to[0][0] for to in recipients(smtp_sink)) == list(names)


def test_a_server_that_cannot_be_reached_is_a_service_error(smtp_sink: SmtpSink) -> None:
    mailer = smtp_sink.mailer(user="pps", password="canary-secret")
    smtp_sink.stop()
    with pytest.raises(ServiceError, match="does not answer"):
        mailer.send(mails("a"))


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_login_and_its_refusal(caplog: pytest.LogCaptureFixture) -> None:
    sink = SmtpSink(login=("pps", "canary-secret"))
    sink.start()
    try:
        assert sink.mailer(user="pps", password="canary-secret").send(mails("a")) == {}
        with pytest.raises(ServiceError, match="refused our login") as refused:
            sink.mailer(user="pps", password="canary-wrong").send(mails("b"))
        assert "canary" not in f"{refused.value} {refused.value.__cause__!r} {caplog.text}"
        assert recipients(sink) == [["a@example.org"]]
    finally:
        sink.stop()


def test_starttls_is_insisted_on(smtp_sink: SmtpSink) -> None:
    with pytest.raises(ServiceError, match="STARTTLS"):
        smtp_sink.mailer(security="starttls").send(mails("a"))
    assert smtp_sink.messages == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_encryption_needs_a_certificate_that_we_trust(
    tmp_path: Path,
    security: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate, key = self_signed(tmp_path)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    sink = SmtpSink(**{"tls" if security == "tls" else "starttls": server_context})
    sink.start()
    try:
        with pytest.raises(ServiceError, match="certificate verify failed"):
            sink.mailer(security=security).send(mails("a"))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert sink.mailer(security=security).send(mails("b")) == {}
        assert recipients(sink) == [["b@example.org"]]
    finally:
        sink.stop()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file
