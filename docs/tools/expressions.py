"""Write the reference of expressions as Markdown: the functions that they may call, with how each is called."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from hepda.events.expressions.functions import FUNCTIONS

LANGUAGE = """\
# Expressions

`variables`, `selection`, `weight`, `columns`, regions and discriminants are expressions over branches and variables.
They are parsed, never run as Python; anything that is not on this page is refused, with its place in the text.

| written | meaning |
|---|---|
| `met`, `Jet.pt` | a branch, or a variable of the analysis |
| `+ - * / // % **` | arithmetic, element by element for lists |
| `< <= > >= == !=` | comparisons; `20 < pt < 50` for ranges |
| `&`, `|`, `^`, `~`, or `and`, `or`, `not` | conditions; comparisons beside `&` and `|` need parentheses |
| `a if condition else b` | choice |
| `jet_pt[0]` | an element; missing where there is none |
| `jet_pt[:4]` | a part of a list |
| `jet_pt[jet_b >= 3]` | the elements for which a condition holds |
| `pi` | the number |

A value that does not exist, such as the third jet of an event with two, is *missing*: it stays missing in arithmetic,
becomes `missing` of the analysis in a feature, and makes a selection false.

```yaml
variables:
  good: (jet_pt > 25) & (abs(jet_eta) < 2.5)
  jets: p4(jet_pt, jet_eta, jet_phi, jet_mass)[good]
  n_jets: count(jet_pt[good])
  m_bb: pair_mass_nearest(jets[:4], 125)
  second_pt: default(jet_pt[1], 0)
```
"""


@cache
def sentences() -> dict[str, dict[str, str]]:
    """Return a sentence on each function, by group and name."""
    path = Path(__file__).resolve().parent / "functions.yaml"
    content: dict[str, dict[str, str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def page() -> str:
    """Return the page: the language, then the functions by group."""
    lines = [LANGUAGE]
    for group, texts in sentences().items():
        known = [name for name in texts if name in FUNCTIONS]
        if known:
            lines += [f"## {group}", "", "| function | |", "|---|---|"]
            lines += [f"| `{FUNCTIONS[name].usage}` | {texts[name]} |" for name in known] + [""]
    lines += [
        "A function of your own is an entry point of your package in the group `hepda.functions`: its name is then a "
        "function of expressions. It takes and returns awkward arrays, one entry per event.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Return the page by its path below docs/."""
    return {"reference/expressions.md": page()}
