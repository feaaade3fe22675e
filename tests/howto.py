"""The analysis files of the pages in docs/howto: each is laid over the small analysis of `tests.factory` and read."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

PAGES = Path(__file__).parents[1] / "docs" / "howto"


def write_page(name: str, folder: Path, base: dict[str, object]) -> Path:
    """Write the first YAML of a page and the analysis that it includes into a folder; return its path."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (PAGES / f"{name}.md").read_text(), re.M | re.S)
    assert blocks, f"{name}.md has no YAML"
    (folder / "analysis.yaml").write_text(yaml.safe_dump(base, sort_keys=False))
    path = folder / f"{name}.yaml"
    path.write_text(blocks[0])
    return path
