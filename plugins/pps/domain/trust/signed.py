"""Documents with their signatures: how they travel, and lie in a site's memory.

```text
PPS-DOCUMENT <number of lines>
...
PPS-SIGNATURE <signer> <number of lines>
...
PPS-END
```

Printable ASCII in lines; a signer is a name in the keys in force. The site's kit reads the same form
(scripts/kit/documents.sh).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pps.domain.base.errors import PackageError

_PRINTABLE = re.compile(r"(?:[ -~]*\n)+")
_SIGNER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a document; `text` is what ssh-keygen -Y sign writes, or base64 of an RSA signature."""

    signer: str
    text: str

    def __post_init__(self) -> None:
        if not _SIGNER.fullmatch(self.signer) or not _PRINTABLE.fullmatch(self.text) or self.text.count("\n") > 99:
            raise PackageError(f"signature of {self.signer[:40]!r}", "is none: a short name, and printable lines.")


@dataclass(frozen=True, slots=True)
class Signed:
    """A document and who signed it."""

    document: str
    signatures: tuple[Signature, ...] = ()

    def __post_init__(self) -> None:
        if not _PRINTABLE.fullmatch(self.document) or self.document.count("\n") > 999:
            raise PackageError("document", "is not of printable lines, at most 999.")

    @property
    def text(self) -> str:
        """Document and signatures, without the end."""
        parts = [f"PPS-DOCUMENT {self.document.count(chr(10))}\n", self.document]
        for signature in self.signatures:
            parts += [f"PPS-SIGNATURE {signature.signer} {signature.text.count(chr(10))}\n", signature.text]
        return "".join(parts)


def envelope(documents: Iterable[Signed]) -> str:
    """Several documents, as a site is sent them: keys first, then what is current, the statement last."""
    return "".join(signed.text for signed in documents) + "PPS-END\n"


def opened(text: str) -> tuple[Signed, ...]:
    """The documents of an envelope, or `PackageError`."""
    lines = text.split("\n")
    found: list[Signed] = []
    at = 0
    while lines[at : at + 1] != ["PPS-END"]:
        words = lines[at].split(" ") if at < len(lines) else []
        if len(words) not in (2, 3) or not words[-1].isdecimal() or not 0 < int(words[-1]) < 1000:
            raise PackageError(f"line {at + 1}", "is neither a document, a signature nor the end.")
        body = lines[at + 1 : at + 1 + int(words[-1])]
        at += 1 + int(words[-1])
        if at >= len(lines):
            raise PackageError("signed document", "is cut off.")
        part = "\n".join([*body, ""])
        if words[0] == "PPS-DOCUMENT" and len(words) == 2:
            found.append(Signed(part))
        elif words[0] == "PPS-SIGNATURE" and len(words) == 3 and found:
            found[-1] = Signed(found[-1].document, (*found[-1].signatures, Signature(words[1], part)))
        else:
            raise PackageError(f"line {at + 1}", "is neither a document, a signature nor the end.")
    if lines[at + 1 :] != [""]:
        raise PackageError("signed document", "goes on after its end.")
    return tuple(found)
