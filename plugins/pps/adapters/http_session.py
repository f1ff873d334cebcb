"""What a `requests` session takes from the environment, and what is said when nobody answers.

Whose certificates are believed is the machine's business, and so is a proxy to the world outside. Logins are not: a
.netrc file holds somebody's passwords, and requests would send them in place of our token.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import urlsplit

import requests

_S = TypeVar("_S", bound=requests.Session)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: requests reads the first two by itself, but only together with proxies; Python's own `ssl` reads the third.
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_BELIEVE = (
    "If a certification authority of your own has signed it, name a file with its certificate in REQUESTS_CA_BUNDLE "
    "(Debian: /etc/ssl/certs/ca-certificates.crt, after update-ca-certificates); else have the certificate renewed."
)


def arranged(session: _S, url: str, *, proxies: bool = True) -> _S:
    """The same session, for requests to one server: no login but its own, the machine's certification authorities.

    Args:
        proxies: of the environment; never for this machine itself.
    """
    session.trust_env = proxies and urlsplit(url).hostname not in _LOOPBACK
    session.verify = next((path for name in _BUNDLES if (path := os.environ.get(name))), True)
    if session.auth is None:  # something, so that requests looks into no .netrc
        session.auth = _as_it_is
    return session


def why_no_answer(error: BaseException, otherwise: str) -> tuple[str, str]:
    """Why a request got no answer, as the rest of a sentence, and what to do: `otherwise`, or about a certificate."""
    chain = tuple(_causes(error))
    if bad := next((e for e in chain if isinstance(e, ssl.SSLCertVerificationError)), None):
        return f"shows a certificate that is not believed: {bad.verify_message.rstrip('.')}.", _BELIEVE
    if "CA certificate bundle" in str(error):
        named = next((name for name in _BUNDLES if os.environ.get(name)), _BUNDLES[0])
        why = f"cannot be asked: {named} names {os.environ.get(named, '')!r}, which is not there."
        return why, "Correct that variable, or unset it."
    tls = next((e for e in chain if isinstance(e, ssl.SSLError)), None)
    reason = f"{type(error).__name__}: {tls.reason or tls}" if tls else type(error).__name__
    return f"does not answer ({reason}).", otherwise


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what stands behind it; requests and urllib3 wrap theirs as arguments, too."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        wrapped = [getattr(one, "reason", None), *one.args]
        waiting += [e for e in (*wrapped, one.__cause__, one.__context__) if isinstance(e, BaseException)]
