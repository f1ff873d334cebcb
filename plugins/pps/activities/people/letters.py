"""Mails whose words are in include/templates: one view, one template in two forms, text and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pps.activities.ports.people import Mail, Templates
from pps.domain.base.texts import one_line


def letter(
    templates: Templates,
    template: str,
    view: Mapping[str, Any],
    *,
    key: str,
    to: str,
    subject: str,
    attachments: tuple[tuple[str, str, str], ...] = (),
) -> Mail:
    """One mail to one recipient.

    Args:
        template: without its ending.
        key: makes that it goes out once.
    """
    text, html = templates.render(f"{template}.txt", view), templates.render(f"{template}.html", view)
    return Mail(key, to, one_line(subject), text, html, attachments)


def circular(
    templates: Templates, template: str, view: Mapping[str, Any], *, key: str, to: Iterable[str], subject: str
) -> list[Mail]:
    """The same words to several, one mail each: nobody reads the others' addresses, and who is named twice gets one.

    Args:
        key: of all; each mail's own is `<key>/<address>`.
    """
    return [
        letter(templates, template, view, key=f"{key}/{address}", to=address, subject=subject)
        for address in dict.fromkeys(to)
    ]
