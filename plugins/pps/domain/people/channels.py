"""Which of our messages may leave by a channel that several people share, to whom, and in which words.

A room's messages are read by whoever is in it, and are kept by whoever runs it. So only what is listed here leaves by a
channel, as its headline and a link that is the same for everybody: no mail's text, no key to anything, no address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlsplit

from pps.domain.base.texts import one_line, without_addresses
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import NO_ROLLOUTS, PILOTS, RolloutPath


class Notice(StrEnum):
    """Kinds of messages, as config/people.yaml names them. Never rename."""

    QUESTIONS = "questions"
    """an answer is awaited, is late, was not taken"""
    ROLLOUTS = "rollouts"
    """a preview is out, is held back, has stopped, is withdrawn, is released"""
    SITES = "sites"
    """a site has failed, takes no previews any more, takes them again"""
    PILOTS = "pilots"
    """meetings, the journal, interest, roll-backs, the end"""
    TESTS = "tests"
    """what a deployment test has found"""


#: What a mail's key says after the rollout's name -> the kind of message. What is not here leaves by mail alone:
#: invitations hold the key with which a VO answers, and what somebody follows is nobody else's business.
_NOTICES = {
    FactKind.QUESTION_ASKED.value: Notice.QUESTIONS,
    FactKind.ANSWER_REFUSED.value: Notice.QUESTIONS,
    FactKind.REMINDED.value: Notice.QUESTIONS,
    FactKind.BROADCAST_QUEUED.value: Notice.ROLLOUTS,
    FactKind.ROLLOUT_PAUSED.value: Notice.ROLLOUTS,
    FactKind.ROLLOUT_RESUMED.value: Notice.ROLLOUTS,
    FactKind.TOLD.value: Notice.ROLLOUTS,
    "artefact-refused": Notice.ROLLOUTS,
    "stopped": Notice.ROLLOUTS,
    "released": Notice.ROLLOUTS,
    FactKind.SITE_TOLD.value: Notice.SITES,
    FactKind.SITE_OPTED_OUT.value: Notice.SITES,
    FactKind.SITE_OPTED_IN.value: Notice.SITES,
    FactKind.INTEREST_SHOWN.value: Notice.PILOTS,
    FactKind.JOURNAL_ENTRY.value: Notice.PILOTS,
    FactKind.MEETING_CALLED.value: Notice.PILOTS,
    FactKind.MEETING_CANCELLED.value: Notice.PILOTS,
    FactKind.ROLL_BACK_ASKED.value: Notice.PILOTS,
    FactKind.PROVIDER_TOLD.value: Notice.TESTS,
}
_SUBJECT = 300


@dataclass(frozen=True, slots=True)
class Group:
    """People who share an address, and what they get otherwise."""

    address: str
    channels: tuple[str, ...]
    notices: frozenset[Notice]
    mail: bool
    """they get the same by mail as well"""

    def gets(self, address: str, notice: Notice | None) -> bool:
        """Tell whether a message to this address leaves by their channels."""
        return notice in self.notices and address.lower() == self.address.lower()


def notice_of(key: str) -> Notice | None:
    """The kind of a message by its mail's key; None: it leaves by mail alone."""
    rollout, _, rest = key.partition("/")
    notice = _NOTICES.get(rest.partition("/")[0])
    is_of_pilot = notice is Notice.ROLLOUTS and any(rollout.startswith(f"{path}-") for path in PILOTS)
    return Notice.PILOTS if is_of_pilot else notice


def headline(subject: str) -> str:
    """A subject for a room: one line, no address."""
    return one_line(without_addresses(subject), _SUBJECT)


def for_chat(text: str) -> str:
    """The same where chats would read markup or call people: it calls nobody, and is no link that it does not show."""
    plain = text.replace("@", "\uff20").replace("<", "\u2039").replace(">", "\u203a")
    return re.sub(r"[][*_`~|!#]", lambda found: _PLAIN.get(found[0], found[0]), plain)


#: Look alike, and are no markup.
_PLAIN = {"[": "(", "]": ")", "`": "'", "*": "\u2217", "~": "\u223c", "|": "\u00a6"}


def shared_link(public_url: str, rollout: str, link: str = "") -> str:
    """Where a message leads: to a page of ours that asks who comes, or is for everybody; never with a key in it."""
    base = public_url.rstrip("/")
    if link.startswith(f"{base}/pps/tasks/") and not urlsplit(link).query:
        return link
    if rollout in NO_ROLLOUTS:
        return f"{base}/pps/home"
    dossier = re.fullmatch(rf"{RolloutPath.DOSSIER}-([0-9]+)", rollout)
    return f"{base}/pps/patches/{dossier[1]}" if dossier else f"{base}/pps/rollouts/{quote(rollout, safe='')}"


def channels_of(groups: Iterable[Group], address: str, key: str) -> tuple[tuple[str, ...], bool]:
    """By which channels a mail to this address leaves, too; and whether it leaves by mail."""
    notice = notice_of(key)
    mine = [group for group in groups if group.gets(address, notice)]
    names = tuple(dict.fromkeys(name for group in mine for name in group.channels))
    return names, not names or any(group.mail for group in mine)


def reasons_against_url(url: str) -> tuple[str, ...]:
    """Say why messages may not go to this address; no reasons means that they may.

    Anywhere by HTTPS, also inside our own network: who writes people.yaml knows where it leads. In the clear only to
    this machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ("a webhook's address begins with https:// and names a host.",)
    if parts.username or parts.password or parts.fragment:
        return ("a webhook's address holds no user, password or fragment: the secret is a Connection's.",)
    if parts.scheme == "http" and not _is_here(parts.hostname):
        return ("a webhook's address begins with https://, unless it is on this machine.",)
    return ()


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def connection_of(name: str) -> str:
    """The Connection that holds a channel's secret."""
    return "pps_channel_" + name.lower().replace("-", "_").replace(".", "_")
