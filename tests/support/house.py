"""What docs tell of the code and can be read out of it: sections of SD and where they are, decisions, measures.

python -m tests.support.house    writes them anew; a test compares (`make docs`)
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

from pps.domain.quality.measures import MEASURES

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE, DECISIONS = ROOT / "docs/architecture.md", ROOT / "docs/adr/README.md"
BEGIN, END = "<!-- made by `make docs` -->", "<!-- until here -->"
_SPOKEN_OF = re.compile(r"(?:SD|description,) 4(?:\.\d){1,2}(?:(?:, |; | and | to )4(?:\.\d){1,2})*")
#: Sections that are about a path, or about all of one kind.
SECTIONS = ("4.1.1", "4.1.2", "4.1.3", "4.1.4", "4.2.1", "4.2.2", "4.2.3")


def _spoken_of(text: str) -> list[str]:
    return [section for said in _SPOKEN_OF.findall(text) for section in re.findall(r"4(?:\.\d){1,2}", said)]


def sections() -> str:
    """One row for each section of SD: its DAGs, the rooms whose rules name it, the folders of tests that hold it."""
    dags, rooms, tests = (defaultdict[str, set[str]](set) for _ in range(3))
    for path in sorted((ROOT / "dags").glob("*.py")):
        for section in _spoken_of(ast.get_docstring(ast.parse(path.read_text())) or ""):
            dags[section].add(path.stem)
    named = Counter[tuple[str, str]]()
    for path in sorted((ROOT / "plugins/pps").rglob("*.py")):
        room = path.parent.relative_to(ROOT / "plugins/pps")
        named.update((section, str(room)) for section in _spoken_of(path.read_text()))
    for (section, room), times in named.items():
        if room.split("/")[0] in ("domain", "activities", "workflow") and times > 1:  # once is a remark
            rooms[section].add(room)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for section in re.findall(r"mark\.sd\(\"([0-9.]+)\"", path.read_text()):
            tests[section].add(str(path.parent.relative_to(ROOT / "tests")))
    rows = ["| SD | DAGs | rooms of `plugins/pps` | folders of `tests` |", "|---|---|---|---|"]
    for section in SECTIONS:
        cells = (", ".join(f"`{name}`" for name in sorted(found[section])) or "–" for found in (dags, rooms, tests))
        rows.append(f"| {section} | {' | '.join(cells)} |")
    return "\n".join(rows)


def decisions() -> str:
    """The decision records by number, each with its title."""
    lines = []
    for path in sorted(DECISIONS.parent.glob("0*.md")):
        number, _, title = path.read_text().splitlines()[0].removeprefix("# ").partition(". ")
        lines.append(f"{number}. [{title}]({path.name})")
    return "\n".join(lines)


def measures() -> str:
    """The measures of quality, as they define themselves."""
    rows = ["| key | measure | unit | better | what is counted | source |", "|---|---|---|---|---|---|"]
    for m in MEASURES.values():
        rows.append(f"| `{m.key}` | {m.title} | {m.unit} | {m.better} | {m.what} | {m.source} |")
    return "\n".join(rows)


#: What may be meant by a path in a text: from the root, from the product's, from the tests'.
_BASES = (ROOT, ROOT / "plugins/pps", ROOT / "tests")
_PATH = re.compile(r"(?:T=)?(\.?\w[\w.-]*(?:/[\w.-]+)*/?)")
_ENDINGS = (".py", ".sh", ".md", ".yaml", ".toml", ".txt", ".html", ".lock")


def paths_named(text: str) -> set[str]:
    """The paths that a document names between backticks, or hands to make; one with a place holder is none.

    A path has a `/`, or the ending of a file. Place holders are `<topic>` and `...`.
    """
    words = " ".join(said or made for said, made in re.findall(r"`([^`\n]+)`|^(make .*)", text, re.MULTILINE)).split()
    bare = (word.replace('"', "").strip("():,;") for word in words)
    found = (match[1] for word in bare if "..." not in word and (match := _PATH.fullmatch(word)))
    return {path for path in found if "/" in path or path.endswith(_ENDINGS)}


def is_there(path: str) -> bool:
    """Tell whether the repository has it; a bare file's name is enough where it stands once or more."""
    if any((base / path).exists() for base in _BASES):
        return True
    return "/" not in path and any(next((ROOT / top).rglob(path), None) for top in ("plugins", "dags", "config"))


def with_block(text: str, block: str) -> str:
    """A document with what stands between the two marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the document has no place for it: {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


MADE = ((ARCHITECTURE, sections), (DECISIONS, decisions), (ROOT / "docs/quality.md", measures))


def main() -> None:
    """Write these documents anew."""
    for path, made in MADE:
        path.write_text(with_block(path.read_text(), made()))


if __name__ == "__main__":
    main()
