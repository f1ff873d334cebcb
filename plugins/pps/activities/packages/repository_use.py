"""The lines with which a site uses a repository of ours, in mails and questions (docs/adr/0022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pps.activities.ports.people import Templates
from pps.domain.packages.patch import Repository
from pps.domain.packages.repository_seals import PublicKey
from pps.domain.people.links import keyring_link, keys_link


@dataclass(frozen=True)
class PublishedKeys:
    """Our public keys, and where people reach us."""

    public_url: str
    keys: Sequence[PublicKey]


def how_to_use(repository: Repository, name: str, keys: PublishedKeys, templates: Templates) -> str:
    """Lines that work as they stand: where our key is, and the source for apt or dnf that insists on it.

    Args:
        repository: with the address that sites have.
        name: of the source at the site.
    """
    view = {
        "repository": repository,
        "name": name,
        "keys_link": keys_link(keys.public_url),
        "keyring_link": keyring_link(keys.public_url),
        "fingerprints": [key.spaced for key in keys.keys],
    }
    return templates.render(f"use_{repository.kind}.txt", view).rstrip("\n")
