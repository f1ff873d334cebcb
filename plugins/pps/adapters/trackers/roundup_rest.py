"""Roundup's REST interface, as far as we use it: items of a class, made, read and changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pps.adapters.trackers.http import Answer, CarefulHttp, ChangedMeanwhileError, Secret, TooLargeError

Item = dict[str, Any]
#: As Roundup writes a moment, in UTC.
MOMENT = "%Y-%m-%d.%H:%M:%S"


class RoundupRest:
    """Asks one Roundup tracker."""

    def __init__(self, url: str, secret: Secret, *, page: int, **limits: Any) -> None:
        """Args:
        url: the tracker's, with a slash at its end.
        page: items asked for at once; their ids are in the address, which has to stay short.
        limits: as in `CarefulHttp`.
        """
        parts = urlsplit(url)
        # its defence against forged requests wants to see where a request comes from
        forms = {"X-Requested-With": "rest", "Origin": f"{parts.scheme}://{parts.netloc}", "Referer": url}
        self._http = CarefulHttp(f"{url}rest/data", secret, headers=forms, reason=_reason, **limits)
        self._page = page
        self.fault = self._http.fault

    def create(self, klass: str, values: Mapping[str, Any]) -> str:
        """Make an item, exactly once: a proxy that sends the request again makes no second one. Returns its id."""
        once = self._data(self._http.ask("POST", f"/{klass}/@poe", body={"lifetime": "300"})).get("link")
        token = str(once).rpartition("/")[2]
        made = self._data(self._http.ask("POST", f"/{klass}/@poe/{token}", body=dict(values))).get("id")
        if not str(made).isdigit():
            raise self.fault(f"it does not say which {klass} it has made.")
        return str(made)

    def versioned(self, klass: str, item: str, fields: str) -> tuple[Item, str]:
        """An item with the tag of its version."""
        answer = self._http.ask("GET", f"/{klass}/{item}", params={"@verbose": "0", "@fields": fields})
        found = self._data(answer).get("attributes")
        if not isinstance(found, dict) or not answer.etag:
            raise self.fault(f"its {klass} has no attributes, or no ETag.")
        return {**found, "id": item}, answer.etag

    def change(self, klass: str, item: str, etag: str, values: Mapping[str, Any]) -> bool:
        """Tell whether an item could be changed; False: somebody else was faster."""
        try:
            self._http.ask("PATCH", f"/{klass}/{item}", body=dict(values), headers={"If-Match": etag})
        except ChangedMeanwhileError:
            return False
        return True

    def ids(self, klass: str) -> list[str]:
        """Of all items of a class."""
        return [i["id"] for i in self.items(klass, "")]

    def of(self, klass: str, fields: str, ids: Sequence[Any], verbose: int = 0) -> list[Item]:
        """Items with these ids, page by page; those that are not there are left out."""
        query = self._query(fields, verbose)
        found = []
        for at in range(0, len(ids), self._page):
            found += self._with_ids(klass, query, [str(i) for i in ids[at : at + self._page]])
        return found

    def since(self, klass: str, fields: str, at: datetime) -> list[Item]:
        """Items that changed at or after a moment."""
        return self._collection(klass, [*self._query(fields), ("activity", f"{at.astimezone(UTC).strftime(MOMENT)};")])

    def items(self, klass: str, fields: str, **exactly: str) -> list[Item]:
        """Items of a class: all, or those with exactly these values (one of each attribute)."""
        return self._collection(klass, [*self._query(fields), *((f"{n}:", v) for n, v in exactly.items())])

    @staticmethod
    def _query(fields: str, verbose: int = 0) -> list[tuple[str, str]]:
        return [("@verbose", str(verbose)), *([("@fields", fields)] if fields else [])]

    def _with_ids(self, klass: str, query: list[tuple[str, str]], ids: Sequence[str]) -> list[Item]:
        try:
            return self._collection(klass, [*query, *(("id", i) for i in ids)])
        except TooLargeError:
            if len(ids) < 2:
                raise
            half = len(ids) // 2
            return self._with_ids(klass, query, ids[:half]) + self._with_ids(klass, query, ids[half:])

    def _collection(self, klass: str, query: list[tuple[str, str]]) -> list[Item]:
        data = self._data(self._http.ask("GET", f"/{klass}", params=query))
        found = data.get("collection")
        if not isinstance(found, list) or not all(isinstance(i, dict) and str(i.get("id")).isdigit() for i in found):
            raise self.fault(f"its list of {klass} is not a list of items.")
        if data.get("@total_size") == -1:
            raise self.fault(f"it shows no more than {len(found)} of its {klass} at once, and there may be more.")
        return found

    def _data(self, answer: Answer) -> dict[str, Any]:
        data = answer.body.get("data") if isinstance(answer.body, dict) else None
        if not isinstance(data, dict):
            raise self.fault("its answer is not one of Roundup's.")
        return data


def moment(text: str) -> datetime:
    """Of a text of Roundup's; ValueError where it is none."""
    return datetime.strptime(text, MOMENT).replace(tzinfo=UTC)


def _reason(body: Any) -> str:
    return str(body["error"]["msg"])
