"""Texts that people and sites wrote, made fit to be stored and shown.

They are data: nothing is escaped here (each door escapes its own way), only what a reader would not see, and be
deceived by, is made visible: control characters, and marks that turn the writing direction round.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from typing import Any

# C0 and C1 controls except tab and newline; bidirectional marks, overrides and isolates; invisible format characters
# that can hide one word inside another, or a text in tags; the byte order mark.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_SHOWN = r"(?:[\u2400-\u241f\u2421]|⟨U\+[0-9A-F]{4,5}⟩)"
_MARKS = re.compile(_SHOWN)
_NEWLINES = re.compile("\r\n?|\x85|\x0b|\x0c|\u2028|\u2029")
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return `text` with `\\n` as its only newline, and with control and direction characters as `␛` or `⟨U+202E⟩`.

    A byte order mark at the very beginning goes: no person has written it. A text of nothing else is empty. Half a
    surrogate pair becomes U+FFFD, since it cannot be encoded.
    """
    if text.isascii() and text.isprintable():  # nearly all texts, and a page shows thousands
        return text
    text = _NEWLINES.sub("\n", text.removeprefix("\ufeff"))
    if not (bare := _UNWANTED.sub("", text)).strip():
        return bare
    return _SURROGATES.sub("\ufffd", _UNWANTED.sub(_made_visible, text))


def _made_visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"


def one_line(text: str, at_most: int = 200) -> str:
    """Return `text` on one line, blanks squeezed, cut with an ellipsis: for subjects, titles and tables."""
    line = " ".join(clean_text(text).split())
    return line if len(line) <= at_most else line[: at_most - 1].rstrip() + "…"


def plain(text: object) -> str:
    r"""Text of others, safe for a terminal: control and direction characters show as `\x1b`."""
    return "".join(
        c if c == "\n" or unicodedata.category(c)[0] != "C" else c.encode("unicode_escape", "replace").decode()
        for c in str(text)
    )


# Each of these begins where a run of its characters begins, and reads each run once: the time that it takes grows
# with the text, not with its square. Anybody may send us 20,000 characters of one letter.
_LOCAL = r"[^\s@\uff20<>\"',;:()\[\]{}%/*]"
_PART = rf"(?:{_LOCAL}|%(?!40))"
_AT = r"(?:@|\uff20|%40)"
_HOST = r"(?:\w[\w.-]*+|\[[\w.:]{1,60}\])"
# the sign as web pages, and addresses in addresses, write it
_OTHER_SIGNS = re.compile(r"&#0{0,8}64;|&#[xX]0{0,8}40;|&commat;|\ufe6b|%(?:25)++40|\u200b@|@\u200b")
_ADDRESS = re.compile(rf"(?<!{_LOCAL})(?<!%)({_PART}?){_PART}*+@([A-Za-z0-9][A-Za-z0-9.-]*+)")
# somebody is named before the sign; "@import" is a word of a style sheet
_MAILBOX = re.compile(rf"(?<!{_LOCAL})(?<![%@\uff20])[@\uff20]*+({_PART})(?:{_PART}*+{_AT}++)+({_HOST})")
_SPELT = re.compile(rf"(?<!{_LOCAL})({_LOCAL}){_LOCAL}*+\s?[\[({{]\s?(?i:at)\s?[\])}}]\s?({_HOST})")
# With blanks around the sign; in words, where the name has a dot ("glite at ce.example.org" says where), or where the
# dots of the host are words, too.
_APART = re.compile(rf"(?<!{_LOCAL})({_LOCAL}){_LOCAL}*+(?:\s{{1,2}}@\s{{0,2}}|@\s{{1,2}})(\w[\w-]*+(?:\.[\w-]++)++)")
_SAID = re.compile(
    rf"(?<!{_LOCAL})([^\W\d_])[^\W\d_]*+(?:[._][^\W\d_]++)++\s{{1,2}}-?(?i:at)-?\s{{1,2}}(\w[\w-]*+(?:\.[\w-]++)++)"
)
_WORDS = re.compile(
    rf"(?<!{_LOCAL})({_LOCAL}){_LOCAL}*+\s{{1,2}}(?i:at)\s{{1,2}}(\w[\w-]*+(?:\s{{1,2}}(?i:dot)\s{{1,2}}[\w-]++)++)"
)
_QUOTED = re.compile(rf'"[^"\n]{{1,64}}"{_AT}({_HOST})')
_LOGIN = re.compile(r"(?<=://)[^/?#\s\"'<>]*@")
# A name may hold blanks, commas and initials, so it goes on to the end of the sentence.
_NAME_OF_CERTIFICATE = re.compile(
    r"(?:/(?:C|O|OU|DC|CN|L|ST|E|UID|USERID|SN|GN)\s{0,2}=|(?<!\w)(?:(?i:CN|UID|USERID)\s{0,2}(?:\\?=|:)|"
    r"(?i:DC|OU|emailAddress|givenName|surname|serialNumber|SN|GN)\s{0,2}\\?=|(?:OID\.)?2\.5\.4\.\d{1,3}\s{0,2}=))"
    r"(?:\([^()\n]{0,80}\)|[^\n;\"<>|().!?]|[.!?](?=\S)|(?<!\w\w\w)(?<!\))[.!?])*+"
)
_HOME = re.compile(
    r"(/(?:home|Users)/|/afs/[^/\s]{1,80}/(?:user|home)/(?:\w/)?|(?i:[A-Z]:\\Users\\)|(?<![\w/~.-])~(?=[A-Za-z]))"
    r"[^/\\\s\"'<>]++"
)
_USER = re.compile(r"(?<![\w-])((?i:user|username|login|logname|owner)=)[^\s&\"'<>,;]++")
_SECRET = re.compile(r"((?i:password|passwd|secret|token)=|(?<!\w)(?i:bearer) )[^\s&\"'<>]++")
_TOKEN = re.compile(
    r"(?<![\w-])(?:[A-Za-z0-9_-]{43}|\d{9,11}\.[A-Za-z0-9_-]{43}|eyJ[\w-]++(?:\.[\w-]++){1,2})(?![\w-])"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[^-]|-(?!----END ))*+")

HIDDEN = "***"


def without_addresses(text: str) -> str:
    """Return `text` with every mail address as `a***@host`, for readers whose business they are not."""
    return _ADDRESS.sub(r"\1***@\2", text)


def for_the_public(text: str, names: Collection[str] = ()) -> str:
    """Return what people wrote as it may be published: the one door to every public page, file and feed.

    Taken out are mail addresses, the names in certificates, logins and secrets in web addresses, invitations and
    other tokens, private keys, the owners of home directories, and `names`. Hosts, IP addresses and paths stay: a
    report of a fault is of no use without them (docs/adr/0023). Doing it twice changes nothing more.

    Args:
        names: of users; they are hidden where they stand as a word.
    """
    shown = _through_the_door(text, names)
    if (bare := _bare(text)) != text and (without := _through_the_door(bare, names)) != _bare(shown):
        return without  # invisible characters would have hidden a name from us, not from people: they go with it
    return shown


def _bare(text: str) -> str:
    """Without what is invisible, and what stands for it."""
    return _MARKS.sub("", _UNWANTED.sub("", text))


def _through_the_door(text: str, names: Collection[str]) -> str:
    text = _once(text) if len(text) <= _SHORT else _without_persons(text)
    return _words(tuple(sorted(names))).sub(HIDDEN, text) if names else text


def _without_persons(text: str) -> str:
    text = _PRIVATE_KEY.sub(HIDDEN, _OTHER_SIGNS.sub("@", text))
    text = _NAME_OF_CERTIFICATE.sub("[name in a certificate]", text)
    text = _LOGIN.sub("", text)
    text = _SECRET.sub(rf"\1{HIDDEN}", text)
    text = _TOKEN.sub(HIDDEN, text)
    text = _HOME.sub(rf"\1{HIDDEN}", text)
    text = _USER.sub(rf"\1{HIDDEN}", text)
    for mailbox in (_MAILBOX, _SPELT, _APART, _SAID, _WORDS):
        text = mailbox.sub(r"\1***@\2", text)
    return _QUOTED.sub(r"***@\1", text)


#: The same few hundred names of sites stand in every view; what people write is longer, and is not kept.
_SHORT = 60
_once = lru_cache(maxsize=2048)(_without_persons)


@lru_cache(maxsize=64)
def _words(names: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![\w+/-])(?:{alternatives})(?![\w+/-]|\.\w)", re.IGNORECASE)


def shown_to_the_public(view: Any, names: Collection[str] = ()) -> Any:
    """Return the view of a public page or file with every text in it `for_the_public`, however deep it stands.

    A template gets nothing else, so that a field that is new, or that an old fact holds, passes the door as well.
    Words of ours (enumerations) and keys stay.
    """
    # the same words stand at hundreds of sites; kept for this view only
    return _shown(view, cache(lambda text: for_the_public(text, names)))


def _shown(view: Any, door: Callable[[str], str]) -> Any:
    if view is None or type(view) is str:
        return view and door(view)
    if type(view) is dict or isinstance(view, Mapping):
        return {key: _shown(value, door) for key, value in view.items()}
    if isinstance(view, tuple) and hasattr(view, "_fields"):
        return type(view)(*(_shown(value, door) for value in view))
    if isinstance(view, list | tuple | set | frozenset):
        return type(view)(_shown(value, door) for value in view)
    if is_dataclass(view) and not isinstance(view, type):
        shown = copy(view)  # not constructed anew: a hidden address would not pass its check
        for f in fields(view):
            object.__setattr__(shown, f.name, _shown(getattr(view, f.name), door))
        return shown
    return view


LONGEST_REASON = 1000
"""characters of a reason that somebody gives for what is done"""


def as_sentence(reason: str) -> str:
    """A reason that has passed `reasons_against_reason` as one line that can stand among other sentences."""
    line = one_line(reason, LONGEST_REASON)
    return line if line[-1] in ".!?…" else f"{line}."


def reasons_against_reason(text: str) -> tuple[str, ...]:
    """Say why a text does not tell others why something is done; no reasons means that it does.

    Only people can judge its meaning; this looks for what "x", "..." and "see mail" have in common.
    """
    line = one_line(text, LONGEST_REASON + 1)
    reasons = []
    if len(line) > LONGEST_REASON:
        reasons.append(f"The reason is longer than {LONGEST_REASON} characters.")
    if len(re.findall(r"[^\W\d_]{2,}", line)) < 3:
        reasons.append("The reason must be a sentence that those who read it will understand: three words at least.")
    return tuple(reasons)
