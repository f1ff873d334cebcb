"""Documents as PDF, for reading on paper and for keeping: made by WeasyPrint, which loads Debian's libpango."""

from __future__ import annotations

import logging
import threading
from typing import Any

from pps.domain.base.errors import ServiceError

#: One at a time: a page takes a second of one processor, and memory.
_ONE = threading.Lock()
_NEXT = "On Debian: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"


def as_pdf(html: str) -> bytes:
    """A whole document of ours; it may lead somewhere, but nothing is fetched for it.

    Raises:
        ServiceError: this machine lacks the libraries that it takes, or the document wants something fetched.
    """
    try:
        import weasyprint
        from weasyprint.urls import FatalURLFetchingError, URLFetcher
    except OSError as error:  # it loads libraries of the system when it is imported
        raise ServiceError("PDF", f"a library is missing here ({error}).", _NEXT) from error

    class Nothing(URLFetcher):  # type: ignore[misc]
        """Fetches nothing, whatever a document names."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            raise FatalURLFetchingError(f"nothing is fetched for a document: {url[:80]!r}")

    logging.getLogger("weasyprint").setLevel(logging.ERROR)  # what of our stylesheet is for screens alone is no news
    with _ONE:
        try:
            made: bytes = weasyprint.HTML(string=html, url_fetcher=Nothing(), base_url=None).write_pdf()
        except FatalURLFetchingError as error:
            raise ServiceError("PDF", str(error), "Correct the template.") from error
    return made
