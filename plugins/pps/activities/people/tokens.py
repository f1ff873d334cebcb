"""Tokens: a VO's invitation, the right of whoever gave an answer to change it, and a site's to report."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime

from itsdangerous import BadSignature, Signer

from pps.domain.base.errors import ConfigurationError

_KEY_BYTES = 32


def invitation_token(secret: bytes, rollout: str, vo: str, until: datetime | None = None) -> str:
    """The token that shows that an answer comes from whom we invited; good for this VO, this rollout and this time.

    Args:
        secret: one key, or several between blanks or commas: the first signs, each of them is taken.
        until: agreed date for feedback. None makes the token that earlier versions have sent, which has no date of
            its own; those are taken for the same time (docs/adr/0023).
    """
    if until is None:
        return _token_without_date(keys_in(secret)[0], rollout, vo)
    return _signer(secret, rollout, vo).sign(str(int(until.timestamp()))).decode()


def keys_in(secret: bytes, at_least: int = 16) -> list[bytes]:
    """The keys of a secret, the first of which signs: between blanks or commas, each of 32 bytes or more.

    One that does not begin with such a key is one key as a whole: that of an earlier version may hold blanks and
    commas. `ConfigurationError` if it is shorter than `at_least` bytes, or a further key than 32.
    """
    keys = secret.replace(b",", b" ").split() or [b""]
    if len(keys[0]) < _KEY_BYTES:
        keys = [secret]
    else:
        at_least = _KEY_BYTES
    if any(len(key) < at_least for key in keys):
        raise ConfigurationError(
            "the feedback secret",
            f"is not set, or a key in it is shorter than {at_least} bytes, so invitations could be forged.",
            "Set PPS_FEEDBACK_SECRET to the output of: openssl rand -hex 32",
        )
    return keys


def _signer(secret: bytes, rollout: str, vo: str, what: str = "invitation") -> Signer:
    salt = f"pps-{what}\n{rollout}\n{vo}".encode()
    # the library wants the newest key last
    return Signer(keys_in(secret)[::-1], salt, key_derivation="hmac", digest_method=hashlib.sha256)


def _token_without_date(key: bytes, rollout: str, vo: str) -> str:
    digest = hmac.digest(key, f"pps-invitation\n{rollout}\n{vo}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def check_token(secret: bytes, rollout: str, vo: str, token: str) -> bool:
    """Tell whether the token is this VO's invitation to this rollout, expired or not; every wrong one takes as long."""
    given = token.encode("utf-8", "replace")
    if b"." in given:
        return _signer(secret, rollout, vo).validate(given)
    # an earlier version took the secret as it stands
    keys = dict.fromkeys((*keys_in(secret), secret))
    return any(hmac.compare_digest(_token_without_date(key, rollout, vo).encode(), given) for key in keys)


def own_token(secret: bytes, rollout: str, vo: str, answer: str) -> str:
    """The token of an answer that came without an invitation: who holds it may change that answer, and no other.

    Args:
        answer: identity of the answer.
    """
    return _signer(secret, rollout, vo, "own-answer").sign(answer).decode()


def own_answer(secret: bytes, rollout: str, vo: str, token: str) -> str:
    """Identity of the answer whose own token this is; "" for any other token."""
    try:
        return _signer(secret, rollout, vo, "own-answer").unsign(token.encode("utf-8", "replace")).decode()
    except BadSignature:
        return ""


def site_token(secret: bytes, site: str, number: int) -> str:
    """The token with which a site reports what it has fetched.

    Args:
        number: as the registry has it (`Site.token`): a higher one makes those before it worthless.
    """
    return _signer(secret, site, str(number), "site").get_signature(b"report").decode()


def is_site_token(secret: bytes, site: str, number: int, token: str) -> bool:
    """Tell whether it is this site's token; every wrong one takes as long."""
    return _signer(secret, site, str(number), "site").verify_signature(b"report", token.encode("utf-8", "replace"))
