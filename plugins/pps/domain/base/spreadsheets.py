"""Tables for spreadsheets, which take a cell that begins with `=` for a command."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from pps.domain.base.texts import plain

#: What makes a spreadsheet evaluate a cell, also in full width, also after blanks.
_FORMULA = tuple("=+-@|%＝＋－＠")


def csv_cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula: what could begin one gets a `'` in front."""
    raw = str(value)
    text = plain(raw).replace("\n", " ")
    return f"'{text}" if raw.lstrip().startswith(_FORMULA) or raw[:1] in ("\t", "\r", "\n") else text


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as RFC 4180 has it, with one header line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(cell) for cell in row] for row in rows)
    return out.getvalue()
