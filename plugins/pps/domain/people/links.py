"""Addresses under which people reach us, all below service.yaml's `public_url`."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from pps.domain.packages.repository_seals import KEYRING


def bulletin_link(public_url: str) -> str:
    """The release bulletin."""
    return f"{public_url.rstrip('/')}/pps/bulletin"


def feedback_link(public_url: str, rollout: str, vo: str = "", token: str = "") -> str:
    """Page of the feedback channel; with a VO and its token it is that VO's personal invitation."""
    link = f"{public_url.rstrip('/')}/pps/feedback/{quote(rollout, safe='')}"
    return f"{link}?{urlencode({'vo': vo, 'token': token})}" if vo else link


def feedback_api(public_url: str, rollout: str) -> str:
    """Where an answer is posted as JSON: `vo`, `opinion`, `text`, `author`, `token`."""
    return f"{public_url.rstrip('/')}/pps/api/v1/rollouts/{quote(rollout, safe='')}/feedback"


def interest_door(public_url: str, rollout: str) -> str:
    """Where a VO's interest in a pilot is posted as JSON, by a user of Airflow: `vo`, `text`."""
    return f"{public_url.rstrip('/')}/pps/api/v1/rollouts/{quote(rollout, safe='')}/interest"


def document_link(public_url: str, file: str) -> str:
    """A document of a pilot, named as it lies in the publication folder."""
    return f"{public_url.rstrip('/')}/pps/{quote(file)}"


def keys_link(public_url: str) -> str:
    """The page with the keys that sign our repositories."""
    return f"{public_url.rstrip('/')}/pps/keys"


def keyring_link(public_url: str) -> str:
    """The same keys for apt's `Signed-By` and dnf's `gpgkey`."""
    return f"{keys_link(public_url)}/{KEYRING}"


def release_notes_link(public_url: str, rollout: str) -> str:
    """The release notes of a rollout that has written them."""
    return document_link(public_url, f"release-notes/{rollout}.html")


def patch_link(public_url: str, patch: int) -> str:
    """The page that says what a patch waits for."""
    return f"{public_url.rstrip('/')}/pps/patches/{patch}"


def tasks_link(public_url: str) -> str:
    """Where people see what waits for them."""
    return f"{public_url.rstrip('/')}/pps/tasks"


def following_link(public_url: str) -> str:
    """Where somebody sees, and changes, what they follow."""
    return f"{public_url.rstrip('/')}/pps/following"


def end_link(public_url: str, token: str) -> str:
    """Where a following ends, without signing in."""
    return f"{following_link(public_url)}/end/{token}"


def feed_link(public_url: str, token: str) -> str:
    """Somebody's own feed."""
    return f"{following_link(public_url)}/{token}.atom"
