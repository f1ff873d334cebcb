"""A form with files, as a browser sends it: read as a stream, the files into a folder, nothing of them held in memory.

A file that is not taken is dropped as it comes, and the rest of the form is read all the same: whoever typed it gets
it back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pps.domain.base.texts import one_line
from pps.web.guards import BODY_BYTES

FILES = "files"
"""the field that holds them"""
_MULTIPART = "multipart/form-data"
_PARTS = 300
_SECONDS = 1800.0
"""for all to arrive"""


@dataclass(frozen=True, slots=True)
class Room:
    """What a form may hold."""

    fields_at_most: int
    files_at_most: int
    file_bytes_at_most: int
    """each"""
    bytes_at_most: int
    """all files together"""


@dataclass(slots=True)
class SentFile:
    """A file that was chosen."""

    name: str
    """as its sender calls it: for sentences alone"""
    path: Path
    why_not: str = ""
    """why nothing of it is there; "" if it is"""
    _bytes: int = 0
    _to: BinaryIO | None = None

    def open(self) -> None:
        """Make the file."""
        self._to = self.path.open("xb")

    def write(self, data: bytes) -> None:
        """Take more of it."""
        self._bytes += len(data)
        if self._to is not None:
            self._to.write(data)

    @property
    def bytes(self) -> int:
        """So many have come, whether they were kept or not."""
        return self._bytes

    def close(self) -> None:
        """No more will come."""
        if self._to is not None:
            self._to.close()
        self._to = None

    def drop(self, why: str) -> None:
        """Keep nothing of it, whatever else comes."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.why_not = self.why_not or why


@dataclass
class _Form:
    """Takes the parts as the parser finds them."""

    folder: Path
    room: Room
    fields: dict[str, str] = field(default_factory=dict)
    files: list[SentFile] = field(default_factory=list)
    ended: bool = False
    _parts: int = 0
    _typed: int = 0
    _header: list[bytes] = field(default_factory=lambda: [b"", b""])
    _disposition: bytes = b""
    _name: str = ""
    _text: bytearray = field(default_factory=bytearray)
    _file: SentFile | None = None

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _PARTS:
            raise HTTPException(422, f"The form has more than {_PARTS} parts.")
        self._disposition, self._text, self._file = b"", bytearray(), None

    def on_header_begin(self) -> None:
        self._header = [b"", b""]

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def on_header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]

    def on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise _ill()
        self._name = options[b"name"].decode(errors="replace")
        if b"filename" not in options:
            return
        if self._name != FILES:
            raise HTTPException(422, f"{one_line(self._name, 40)} is no field for files.")
        name = one_line(options[b"filename"].decode(errors="replace"), 80)
        self._file = SentFile(name, self.folder / f"file-{self._parts}")
        if len(self.files) < self.room.files_at_most:
            self._file.open()
        else:
            self._file.why_not = f"At most {self.room.files_at_most} files are taken at a time."

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            self._typed += end - start
            if self._typed > BODY_BYTES:
                raise HTTPException(413, f"What is typed in the form is larger than {BODY_BYTES} bytes.")
            self._text += data[start:end]
            return
        self._file.write(data[start:end])
        if self._file.bytes > self.room.file_bytes_at_most:
            self._file.drop(f"The package is larger than {self.room.file_bytes_at_most} bytes.")
        elif sum(f.bytes for f in (*self.files, self._file) if not f.why_not) > self.room.bytes_at_most:
            self._file.drop(f"All packages together are larger than {self.room.bytes_at_most} bytes.")

    def on_part_end(self) -> None:
        if self._file is not None:
            self._file.close()
            if self._file.name or self._file.bytes:  # else none was chosen: browsers send an empty one then
                self.files.append(self._file)
            return
        if self._name in self.fields:
            raise HTTPException(422, "A field of the form occurs twice.")
        try:
            self.fields[self._name] = self._text.decode().replace("\r\n", "\n")  # browsers send CR LF
        except UnicodeDecodeError as error:
            raise _ill() from error

    def on_end(self) -> None:
        self.ended = True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _ill() -> HTTPException:
    return HTTPException(422, "The form is not well-formed.")


def is_multipart(request: Request) -> bool:
    """Tell whether a form says that it may hold files."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == _MULTIPART


async def sent_files(request: Request, folder: Path, room: Room) -> tuple[dict[str, str], list[SentFile]]:
    """Fields and files of a form; whoever calls has asked where it comes from (`check_origin`).

    Raises:
        HTTPException: 413, 408 or 422 for what is no form, or too large to be read to its end.
    """
    boundary = parse_options_header(request.headers.get("content-type", ""))[1].get(b"boundary")
    if not boundary:
        raise _ill()
    form, got, at_most = _Form(folder, room), 0, 2 * (room.bytes_at_most + BODY_BYTES)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.on_part_begin,
                "on_header_begin": form.on_header_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_headers_finished": form.on_headers_finished,
                "on_part_data": form.on_part_data,
                "on_part_end": form.on_part_end,
                "on_end": form.on_end,
            },
        )
        async with asyncio.timeout(_SECONDS):
            async for chunk in request.stream():
                got += len(chunk)
                if got > at_most:
                    raise HTTPException(413, f"The form is larger than {at_most} bytes.")
                parser.write(chunk)
    except TimeoutError as error:
        raise HTTPException(408, f"The form did not arrive within {_SECONDS:.0f} s.") from error
    except FormParserError as error:
        raise _ill() from error
    finally:
        form.close()
    if not form.ended or len(form.fields) > room.fields_at_most:
        raise _ill()
    return form.fields, form.files
