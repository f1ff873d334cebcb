"""The patch tracker over its REST API (docs/tracker-api.md)."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from pps.config.patch_documents import parse_patch, patch_document
from pps.domain.base.errors import ConfigurationError, PackageError, PatchNotFoundError, RefusedError, ServiceError
from pps.domain.packages.patch import Patch, PatchState

log = logging.getLogger(__name__)

_CONNECT_S, _SILENCE_S = 5.0, 10.0
_PAGE = 200
_MOST_PAGES = 500


class RestTracker:
    """`ports.Tracker` over HTTP.

    Reads are tried three times, writes once (`set_state` looks before it acts, so that the caller may repeat it).
    No redirect is followed, no proxy or netrc entry is used for a tracker on this machine.
    """

    def __init__(self, url: str, token: str = "", *, total_s: float = 30.0, most_bytes: int = 8 * 1024 * 1024) -> None:
        """Args:
        url: address of the API; `/patches` and so on are below it.
        token: needed for writing only.
        total_s: longest time that one answer may take.
        most_bytes: largest answer that is read.
        """
        self._url = url.rstrip("/")
        self._total_s = total_s
        self._most_bytes = most_bytes
        self._session = requests.Session()
        self._session.auth = _Bearer(token)
        self._session.trust_env = urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1")
        retries = Retry(
            total=2,
            redirect=0,
            allowed_methods={"GET"},
            status_forcelist={502, 503, 504},
            backoff_factor=0.2,
            raise_on_status=False,
            raise_on_redirect=False,
            respect_retry_after_header=False,
        )
        self._session.mount("http://", HTTPAdapter(max_retries=retries))
        self._session.mount("https://", HTTPAdapter(max_retries=retries))

    def patch(self, number: int) -> Patch:
        """Read a patch; see the port."""
        return self._versioned(number)[0]

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        """All patches, newest first; see the port. One that cannot be read is left out, with a warning in the log."""
        found: list[Patch] = []
        below: int | None = None
        for _ in range(_MOST_PAGES):
            query = {"limit": str(_PAGE)} | ({"state": state.value} if state else {})
            if below is not None:
                query["below"] = str(below)
            answer = self._json("GET", "/patches", params=query)
            page = answer.get("patches")
            if not isinstance(page, list) or not all(isinstance(document, dict) for document in page):
                raise self._fault("its list of patches is not a list.")
            for document in page:
                try:
                    found.append(parse_patch(document))
                except PackageError as error:
                    log.warning("left out of the list of patches: %s", error)
            if not page or answer.get("more") is not True:
                return tuple(sorted((p for p in found if state in (None, p.state)), key=lambda p: -p.number))
            last = page[-1].get("number")
            if not isinstance(last, int) or (below is not None and last >= below):
                raise self._fault("its list of patches does not go from newest to oldest.")
            below = last
        raise self._fault("its list of patches does not end.")

    def set_state(self, number: int, state: PatchState, comment: str) -> None:
        """Move a patch; see the port. `RefusedError` when the tracker does not allow this move."""
        for _ in range(3):
            patch, version = self._versioned(number)
            if patch.state is state:
                return
            headers = {"If-Match": version} if version else {}
            body = {"state": state.value, "comment": comment}
            try:
                self._json("POST", f"/patches/{number}/state", json=body, headers=headers)
            except _ChangedMeanwhileError:
                continue
            return
        raise self._fault(f"patch {number} changed each time while its state was being set.")

    def comment(self, number: int, text: str) -> None:
        """Add a comment; see the port. The tracker keeps one of each text, so that the caller may repeat it."""
        self._json("POST", f"/patches/{number}/comments", json={"comment": text})

    def create(self, patch: Patch) -> None:
        """Enter a patch; the same patch once more changes nothing, another one with this number is refused."""
        self._json("POST", "/patches", json=patch_document(patch))

    def edit(self, number: int, fields: Mapping[str, Any]) -> None:
        """Change fields of a patch, as its provider does; somebody else's change meanwhile is a `ServiceError`."""
        _, version = self._versioned(number)
        self._json("PATCH", f"/patches/{number}", json=dict(fields), headers={"If-Match": version or "*"})

    def set_flag(self, number: int, flag: str, value: bool, comment: str = "") -> None:
        """Set or clear a flag, e.g. `basic_certification_passed`."""
        self._json("PUT", f"/patches/{number}/flags/{flag}", json={"value": value, "comment": comment})

    def history(self, number: int) -> tuple[dict[str, Any], ...]:
        """What happened to a patch: `{"at", "what", "comment"}` each, oldest first."""
        entries = self._json("GET", f"/patches/{number}/history").get("history")
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise self._fault("its history is not a list.")
        return tuple(entries)

    def _versioned(self, number: int) -> tuple[Patch, str]:
        version: list[str] = []
        document = self._json("GET", f"/patches/{int(number)}", version=version)
        patch = parse_patch(document)
        if patch.number != number:
            raise self._fault(f"asked for patch {number}, it answered with patch {patch.number}.")
        return patch, version[0] if version else ""

    def _json(self, method: str, path: str, *, version: list[str] | None = None, **request: Any) -> dict[str, Any]:
        """One request; the answer's JSON object. `version` receives the answer's ETag."""
        deadline = time.monotonic() + self._total_s
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **request.pop("headers", {})}
        try:
            with self._session.request(
                method,
                self._url + path,
                headers=headers,
                timeout=(_CONNECT_S, _SILENCE_S),
                allow_redirects=False,
                stream=True,
                **request,
            ) as response:
                body = self._read(response, deadline)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise ServiceError(
                f"tracker {self._url}",
                f"does not answer ({type(error).__name__}).",
                "Try again; check tracker_url in service.yaml.",
            ) from error
        self._check_status(response, path, body)
        if version is not None and "ETag" in response.headers:
            version.append(response.headers["ETag"])
        return self._parse(body)

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            # nobody asked for it, and a small answer could unpack to a huge one
            raise self._fault("it answers in a compressed form that nobody asked for.")
        body = bytearray()
        # read1 returns what is there: a tracker that drips cannot hold us beyond the deadline
        while chunk := response.raw.read1(65536, decode_content=False):
            body += chunk
            if len(body) > self._most_bytes:
                raise self._fault(f"its answer is larger than {self._most_bytes} bytes.")
            if time.monotonic() > deadline:
                raise self._fault(f"its answer took longer than {self._total_s:.0f} s.")
        return bytes(body)

    def _check_status(self, response: requests.Response, path: str, body: bytes) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        why = _reason(body)
        if 300 <= status < 400:
            raise self._fault(
                f"it redirects to {response.headers.get('Location', '?')[:200]!r}, which is not followed."
            )
        if status in (401, 403):
            raise ConfigurationError(
                f"tracker {self._url}",
                f"refuses our token (HTTP {status}).",
                "Correct the token in the tracker's connection.",
            )
        if status == 404:
            patch = f"patch {path.split('/')[2]}" if path.count("/") > 1 else "patches"
            said = "" if why.startswith(patch) else why  # then it says the same once more
            raise PatchNotFoundError(
                patch,
                f"not found in the tracker at {self._url}. {said}".rstrip(),
                "Check the number, and tracker_url in service.yaml.",
            )
        if status == 412:
            raise _ChangedMeanwhileError(
                f"tracker {self._url}", "the patch was changed meanwhile.", "Look at it again."
            )
        if status in (400, 409, 422):
            raise RefusedError(f"tracker {self._url}", (why or f"HTTP {status}",), "Look at the patch in the tracker.")
        raise self._fault(f"HTTP {status}. {why}")

    def _parse(self, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise self._fault("its answer is not JSON.") from error
        if not isinstance(answer, dict):
            raise self._fault("its answer is not a JSON object.")
        return answer

    def _fault(self, why: str) -> ServiceError:
        return ServiceError(f"tracker {self._url}", why, "Try again; if it goes on, tell the tracker's operators.")


class _ChangedMeanwhileError(ServiceError):
    """Somebody else was faster (HTTP 412)."""


class _Bearer(AuthBase):
    """Our token, and never one of a netrc file, which requests would otherwise prefer."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _reason(body: bytes) -> str:
    """The sentence of an error answer, on one line and short; it comes from outside."""
    try:
        text = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "".join(c if c.isprintable() else " " for c in str(text)[:500])
