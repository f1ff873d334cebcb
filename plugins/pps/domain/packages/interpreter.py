"""Known holes in Python's own tarfile module, by the version that mended them.

Packages of strangers are not read with it (adapters/.../archive.py), but pip, other tools and our own tarballs are.
Source: the advisories of https://mail.python.org/archives/list/security-announce@python.org/. Distributions mend
older versions without a new number, so this can only warn.
"""

from __future__ import annotations

#: (what it lets somebody do, its numbers, minor version of 3 -> first patch level without it)
_HOLES: tuple[tuple[str, tuple[str, ...], dict[int, int]], ...] = (
    ("a small archive keeps it busy for minutes", ("CVE-2024-6232",), {11: 10, 12: 6, 13: 0}),
    (
        "an archive writes outside its folder",
        ("CVE-2024-12718", "CVE-2025-4138", "CVE-2025-4330", "CVE-2025-4435", "CVE-2025-4517"),
        {11: 13, 12: 11, 13: 4},
    ),
    ("an archive keeps it busy for ever", ("CVE-2025-8194",), {11: 14, 12: 12, 13: 6}),
)


def holes_in_tarfile(version: tuple[int, int, int]) -> tuple[str, ...]:
    """One sentence for each known hole of a Python version; none means that no hole is known.

    Args:
        version: major, minor, patch level. Versions before 3.11 are not supported at all.
    """
    major, minor, patch = version
    found = []
    for what, numbers, mended in _HOLES:
        if major == 3 and minor in mended and patch < mended[minor]:
            found.append(f"{what} ({', '.join(numbers)}; mended in 3.{minor}.{mended[minor]})")
    return tuple(found)


def warning(version: tuple[int, int, int]) -> str:
    """What to tell whoever runs us with this Python; "" if there is nothing to tell."""
    holes = holes_in_tarfile(version)
    if not holes:
        return ""
    _, minor, _ = version
    needed = max(mended[minor] for _, _, mended in _HOLES)
    return (
        f"Python {'.'.join(map(str, version))} has known holes in its tarfile: {'; '.join(holes)}. Install 3.{minor}."
        f"{needed} or newer, unless your distribution says that it has mended them."
    )
