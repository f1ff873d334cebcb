"""Roundup over its REST interface: the closest living relative of Savannah, and the sandbox's own tracker."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pps.activities.ports.tracker import Reading, Remark, Ticket
from pps.adapters.trackers.http import ChangedMeanwhileError, Secret
from pps.adapters.trackers.kept_copy import Clock, Copy, utc_now
from pps.adapters.trackers.mapping import WordBook
from pps.adapters.trackers.roundup_rest import MOMENT, RoundupRest, moment
from pps.config.patch_documents import parse_patch, patch_document
from pps.config.tracker_models import TrackerFile
from pps.domain.base.errors import PackageError, PatchNotFoundError, RefusedError
from pps.domain.packages.patch import Bug, BugState, Case, Patch, PatchState

log = logging.getLogger(__name__)

_PAGE = 100
_BUG = "number,title,severity.name,originator,state.name"
_CASE = "name,title,how"
#: Have ways of their own: the workflow's, and SA3's.
_NOT_EDITED = frozenset({"number", "state", "basic_certification_passed"})
_TRIES = 3


class RoundupTracker:
    """`ports.Tracker` over Roundup's REST; `config/tracker/` has the schema that it is made for."""

    def __init__(
        self,
        file: TrackerFile,
        secret: Secret,
        *,
        copy: Path | None = None,
        clock: Clock = utc_now,
        page: int = _PAGE,
        **limits: Any,
    ) -> None:
        """Args:
        secret: the user of Roundup for whom we act; none: as a stranger, who reads only.
        copy: file for what was read last, which may be lost at any time; None: everything is read anew.
        page: items asked for at once.
        limits: as in `CarefulHttp`.
        """
        self.url = file.url.rstrip("/") + "/"
        self._class, self._words = file.project, WordBook(file, MOMENT)
        self._copy, self._clock = copy, clock
        self._rest = RoundupRest(self.url, secret, page=page, **{"total_s": file.timeout, **limits})
        names = [a.name for f, a in self._words.attributes.items() if f not in ("bugs", "test_cases")]
        links = [n for n in (self._words.attribute("bugs"), self._words.attribute("test_cases")) if n]
        self._fields = ",".join(["number", "state.name", "activity", *names, *links])

    # --- reading ---

    def patch(self, number: int) -> Patch:
        """Read a patch; see the port."""
        found = self._reading(number)
        if found.patch is None:
            raise PackageError(
                f"patch {number}", "; ".join(found.problems) + ".", "Correct the patch where it was entered."
            )
        return found.patch

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        """All patches, newest first; see the port. One that cannot be read is left out, with a warning in the log."""
        found = []
        for reading in self._all():
            if reading.patch is None:
                log.warning(
                    "left out of the list of patches: patch %s: %s", reading.number, "; ".join(reading.problems)
                )
            elif state in (None, reading.patch.state):
                found.append(reading.patch)
        return tuple(sorted(found, key=lambda p: -p.number))

    def readings(self, number: int | None = None) -> tuple[Reading, ...]:
        """See the port."""
        if number is not None:
            return (self._reading(number),)
        return tuple(sorted(self._all(), key=lambda r: -(r.number or 0)))

    def page(self, number: int) -> str:
        """See the port."""
        # Roundup takes : for @, with which it would be taken for a mail address, and hidden where text is shown
        return f"{self.url}{self._class}?:action=number&number={int(number)}"

    def comments(self, number: int) -> tuple[Remark, ...]:
        """See the port."""
        item = self._item(number, "messages")
        return tuple(Remark(str(m.get("date") or ""), str(m.get("content") or "")) for m in self._messages(item))

    def bug_states(self) -> dict[int, BugState]:
        """See the port."""
        copy = self._copied()
        found = {str(b.get("number")): str(b.get("state.name")) for b in copy.items("bug").values()}
        known = {state.value for state in BugState}
        return {int(n): BugState(s) for n, s in found.items() if s in known and n.isascii() and n.isdigit()}

    def _reading(self, number: int) -> Reading:
        item = self._item(number, self._fields)
        bugs, cases = (self._words.attribute(f) for f in ("bugs", "test_cases"))
        known = {
            "bug": self._by_id("bug", _BUG, item.get(bugs) or []),
            "case": self._by_id("case", _CASE, item.get(cases) or []),
        }
        return self._read(item, known)

    def _all(self) -> list[Reading]:
        copy = self._copied()
        known = {klass: copy.items(klass) for klass in ("bug", "case")}
        return [self._read(item, known) for item in copy.items(self._class).values()]

    def _copied(self) -> Copy:
        """The copy, as the tracker is now."""
        of = f"{self.url} {self._class} {self._fields} {_BUG} {_CASE}"
        copy = Copy(self._copy, of, at="activity", moment=moment, clock=self._clock)
        classes = {self._class: self._fields, "bug": f"{_BUG},activity", "case": f"{_CASE},activity"}
        for klass, fields in classes.items():
            copy.bring_up_to_date(
                klass,
                self._rest.ids(klass),
                partial(self._rest.of, klass, fields),
                partial(self._rest.since, klass, fields),
            )
        copy.keep()
        return copy

    def _read(self, item: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> Reading:
        """An item with the bugs and test cases that it links to."""
        values = dict(item)
        if bugs := self._words.attribute("bugs"):
            found = [known["bug"][i] for i in item.get(bugs) or [] if i in known["bug"]]
            values[bugs] = [
                {n: b.get(n) or "" for n in ("number", "title", "originator")} | {"severity": b.get("severity.name")}
                for b in sorted(found, key=lambda b: int(b["id"]))
            ]
        if cases := self._words.attribute("test_cases"):
            found = [known["case"][i] for i in item.get(cases) or [] if i in known["case"]]
            values[cases] = [{n: c.get(n) or "" for n in ("name", "title", "how")} for c in found]
        number = str(item.get("number"))
        page = self.page(int(number)) if number.isascii() and number.isdigit() and len(number) < 10 else self.url
        return self._words.read(number, item.get("state.name"), values, page)

    # --- writing ---

    def set_state(self, number: int, state: PatchState, comment: str, *, only_from: PatchState | None = None) -> None:
        """Move a patch; see the port. `RefusedError` when the tracker does not allow this move."""
        for _ in range(_TRIES):
            item, etag = self._for_writing(number)
            if item["state.name"] == self._words.state(state.value):
                return
            if only_from and item["state.name"] != self._words.state(only_from.value):
                raise _changed_meanwhile(number)
            said = [self._say(comment)] if comment.strip() else []
            # both in one change: no comment without its move, no move without its comment
            change = {"state": self._words.state(state.value), "messages": [*item["messages"], *said]}
            if self._change(item, etag, change):
                return
        raise self._rest.fault(f"patch {number} changed each time while its state was being set.")

    def comment(self, number: int, text: str) -> None:
        """Add a comment; see the port."""
        if not text.strip():
            raise RefusedError(f"patch {number}", ("A comment needs a text.",), "Say something.")
        for _ in range(_TRIES):
            item, etag = self._for_writing(number)
            if any(str(m.get("content") or "").strip() == text.strip() for m in self._messages(item)):
                return
            if self._change(item, etag, {"messages": [*item["messages"], self._say(text)]}):
                return
        raise self._rest.fault(f"patch {number} changed each time while it was being commented on.")

    def enter(self, patch: Patch, *, submission: str = "") -> int:
        """Enter a patch; see the port."""
        if submission and (known := self._rest.items(self._class, "number", submission=submission)):
            return int(known[0]["number"])
        if not submission and self._rest.items(self._class, "number", number=str(patch.number)):
            old = self.patch(patch.number)
            # what the workflow has changed since then is no other content
            same = replace(patch, state=old.state, basic_certification_passed=old.basic_certification_passed)
            if _comparable(same) != _comparable(old):
                raise RefusedError(
                    f"patch {patch.number}", ("It exists with other content.",), "Take another number, or edit it."
                )
            return patch.number
        values: dict[str, Any] = {
            "number": "" if submission else str(patch.number),
            "state": self._words.state(patch.state.value),
            **{name: text for name, text in self._words.write(patch).items() if text},
            **self._links(patch),
        }
        if submission:
            values["submission"] = submission
        made = self._rest.create(self._class, values)
        return int(self._rest.of(self._class, "number", [made])[0]["number"])

    def open_ticket(self, ticket: Ticket) -> str:
        """See the port. The marker is a key of the class, so that no two can have it."""
        known = self._rest.items("ticket", "marker", marker=ticket.marker)
        if known:
            return f"{self.url}ticket{known[0]['id']}"
        about = self._item(ticket.patch, "number")["id"]
        said = self._say(f"{ticket.text}\n\n[{ticket.marker}]")
        values = {"marker": ticket.marker, "title": ticket.title, "patch": about, "messages": [said]}
        return f"{self.url}ticket{self._rest.create('ticket', values)}"

    def close_ticket(self, marker: str, text: str) -> None:
        """See the port."""
        for _ in range(_TRIES):
            known = self._rest.items("ticket", "marker", marker=marker)
            if not known:
                return
            item, etag = self._rest.versioned("ticket", known[0]["id"], "state.name,messages")
            if item.get("state.name") == "closed":
                return
            change = {"state": "closed", "messages": [*(item.get("messages") or []), self._say(text)]}
            if self._rest.change("ticket", item["id"], etag, change):
                return
        raise self._rest.fault(f"ticket {marker} changed each time while it was being closed.")

    def edit(self, number: int, fields: Mapping[str, Any]) -> None:
        """Change fields of a patch; see the port."""
        if unknown := sorted(set(fields) & _NOT_EDITED):
            raise RefusedError(
                f"patch {number}", (f"These fields cannot be edited: {', '.join(unknown)}.",), "Leave them out."
            )
        item, etag = self._for_writing(number)
        patch = parse_patch({**patch_document(self.patch(number)), **fields}, unknown="forbid")
        links = {name: ids for name, ids in self._links(patch).items() if self._ours(name) in fields}
        change = {**self._words.write(patch, frozenset(fields)), **links}
        if not self._change(item, etag, change):
            raise _changed_meanwhile(number)

    def set_flag(self, number: int, flag: str, value: bool, comment: str = "") -> None:
        """Set or clear a flag, e.g. `basic_certification_passed`, as SA3 does."""
        for _ in range(_TRIES):
            item, etag = self._for_writing(number)
            if getattr(self.patch(number), flag) is value:
                return
            said = [self._say(comment)] if comment.strip() else []
            change = {self._words.attribute(flag): "yes" if value else "no", "messages": [*item["messages"], *said]}
            if self._change(item, etag, change):
                return
        raise self._rest.fault(f"patch {number} changed each time while its flag was being set.")

    def _ours(self, name: str) -> str:
        return next((f for f in ("bugs", "test_cases") if self._words.attribute(f) == name), "")

    def _links(self, patch: Patch) -> dict[str, list[str]]:
        """Ids of a patch's bugs and test cases, made where the tracker does not have them."""
        links = {}
        if name := self._words.attribute("bugs"):
            # its exact search takes one value of an attribute
            ids = {str(b.get("number")): b["id"] for b in self._rest.items("bug", "number")} if patch.bugs else {}
            wanted = [ids[str(b.number)] for b in patch.bugs if str(b.number) in ids]
            there = {str(b["number"]): b for b in self._rest.of("bug", _BUG, wanted)}
            if other := [b.number for b in patch.bugs if str(b.number) in there and not self._same(b, there)]:
                why = f"Bug {', '.join(map(str, other))} is in the tracker with another title, severity or originator."
                raise RefusedError(patch.subject, (why,), "Correct it there, or here.")
            links[name] = [there[str(b.number)]["id"] if str(b.number) in there else self._bug(b) for b in patch.bugs]
        if name := self._words.attribute("test_cases"):
            links[name] = [self._case(case) for case in patch.test_cases]
        return links

    def _same(self, bug: Bug, there: Mapping[str, Mapping[str, Any]]) -> bool:
        known = there[str(bug.number)]
        ours = (bug.title.strip(), self._words.severity(bug.severity.value), bug.originator)
        return ours == (known.get("title"), known.get("severity.name"), known.get("originator"))

    def _bug(self, bug: Bug) -> str:
        severity = self._words.severity(bug.severity.value)
        values = {"number": str(bug.number), "title": bug.title, "severity": severity, "originator": bug.originator}
        return self._rest.create("bug", values)

    def _case(self, case: Case) -> str:
        """A test case is shared by all patches that name it with the same words."""
        for known in self._rest.items("case", _CASE, name=case.name):
            if (known.get("title") or "", known.get("how") or "") == (case.title.strip(), _trimmed(case.how)):
                return str(known["id"])
        values = {"name": case.name, "title": case.title, "how": case.how}
        return self._rest.create("case", {name: text for name, text in values.items() if text})

    def _say(self, text: str) -> str:
        return self._rest.create("msg", {"content": text})

    def _for_writing(self, number: int) -> tuple[dict[str, Any], str]:
        """State and messages of a patch, with the tag of its version."""
        found = self._item(number, "number")
        item, etag = self._rest.versioned(self._class, found["id"], "number,state.name,messages")
        if not isinstance(item.get("messages"), list):
            raise self._rest.fault("its patch has no messages.")
        return item, etag

    def _change(self, item: Mapping[str, Any], etag: str, values: Mapping[str, Any]) -> bool:
        return self._rest.change(self._class, item["id"], etag, values)

    def _item(self, number: int, fields: str) -> dict[str, Any]:
        found = self._rest.items(self._class, f"number,{fields}", number=str(int(number)))
        if not found:
            raise PatchNotFoundError(
                f"patch {number}",
                f"not found in the tracker at {self.url}",
                "Check the number, and url and project in tracker.yaml.",
            )
        if (other := str(found[0].get("number"))) != str(number):
            raise self._rest.fault(f"asked for patch {number}, it answered with patch {other[:40]}.")
        return found[0]

    def _messages(self, item: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = self._rest.of("msg", "content,date", item.get("messages") or [], verbose=3)
        return sorted(found, key=lambda m: int(m["id"]))

    def _by_id(self, klass: str, fields: str, ids: Sequence[Any]) -> dict[str, dict[str, Any]]:
        return {i["id"]: i for i in self._rest.of(klass, fields, ids)}


def _changed_meanwhile(number: int) -> ChangedMeanwhileError:
    return ChangedMeanwhileError(f"patch {number}", "somebody else changed it meanwhile.", "Look at it again.")


def _trimmed(text: str) -> str:
    """As Roundup keeps a text."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _comparable(patch: Patch) -> dict[str, Any]:
    """A patch's document without what Roundup does not keep: space around texts, and the order of bugs and cases."""
    document = patch_document(patch)
    bugs = sorted(({**b, "title": b["title"].strip()} for b in document["bugs"]), key=lambda b: int(b["number"]))
    cases = sorted(({k: _trimmed(v) for k, v in c.items()} for c in document["test_cases"]), key=lambda c: c["name"])
    texts = {k: _trimmed(v) for k, v in document.items() if isinstance(v, str)}
    return {**document, **texts, "bugs": bugs, "test_cases": cases}
