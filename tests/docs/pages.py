"""The blocks of code in the documentation: one way to find them, for all tests of what the pages say.

A comment in the line above a block says what a test cannot see by itself:

<!-- test: file NAME -->      the block is the content of this file, which later commands of the page read
<!-- test: over NAME -->      a part of an analysis file, laid over this one (`include`)
<!-- test: not hepda, X -->   of another program
<!-- test: cabinetry -->      a configuration of cabinetry, which its own check accepts
<!-- test: needs X -->        Python that runs where the package X is installed
<!-- test: not run, WHY -->   a command that cannot run in a test
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "analyses/*/README.md", "benchmarks/README.md")
    for path in REPOSITORY.glob(pattern)
)
MARK = re.compile(r"<!-- test: (.*) -->")


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: str
    line: int
    language: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def marked(self, what: str) -> str | None:
        """Return what follows a mark, None without it."""
        begins = self.mark == what or self.mark.startswith((f"{what} ", f"{what},"))
        return self.mark.removeprefix(what).strip(" ,") if begins else None

    @property
    def commands(self) -> list[str]:
        """Return the commands of a shell block, without comments, continued lines as one."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line]


def blocks_of(path: Path) -> Iterator[Block]:
    """Yield the blocks between fences of a page."""
    lines = path.read_text(encoding="utf-8").splitlines()
    begin: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if begin is None:
            begin = number
            continue
        mark = MARK.fullmatch(lines[begin - 1]) if begin else None
        text = "\n".join(lines[begin + 1 : number]) + "\n"
        page = str(path.relative_to(REPOSITORY))
        yield Block(page, begin + 1, lines[begin][3:].strip(), text, mark[1] if mark else "")
        begin = None
    if begin is not None:
        raise ValueError(f"{path}:{begin + 1}: the block does not end")


BLOCKS = [block for path in PAGES for block in blocks_of(path)]


def of(*languages: str) -> list[Block]:
    """Return all blocks in one of these languages."""
    return [block for block in BLOCKS if block.language in languages]
