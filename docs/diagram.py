"""Draw the packages of hepda and their imports into docs/architecture.md, from the imports themselves.

python docs/diagram.py            # writes the diagram
python docs/diagram.py --check    # exit status 1 if the page shows another one
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import grimp

PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- diagram: made by docs/diagram.py -->", "<!-- end of the diagram -->"


def arrows(parent: str, graph: grimp.ImportGraph) -> dict[str, set[str]]:
    """Return, for each child of a package, the other children whose modules it imports (type hints left out)."""
    children = sorted(graph.find_children(parent))
    owner = {module: child for child in children for module in {child} | graph.find_descendants(child)}
    found: dict[str, set[str]] = {child: set() for child in children}
    for module, child in owner.items():
        targets = (owner.get(target) for target in graph.find_modules_directly_imported_by(module))
        found[child] |= {target for target in targets if target is not None and target != child}
    return found


def layers(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the nodes in layers, from those that import nothing upwards.

    Raises:
        ValueError: there is a cycle; the message names its nodes.

    """
    found: list[list[str]] = []
    left = dict(imports)
    while left:
        lowest = sorted(node for node, targets in left.items() if not targets & left.keys())
        if not lowest:
            raise ValueError(f"imports run in a cycle among {', '.join(sorted(left))}")
        found.append(lowest)
        for node in lowest:
            del left[node]
    return found


def direct(imports: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the arrows that no longer path implies: what a diagram has to show (transitive reduction)."""

    def reach(node: str) -> set[str]:
        return {far for near in imports[node] for far in {near} | reach(near)}

    return {
        node: {target for target in targets if not any(target in reach(other) for other in targets - {target})}
        for node, targets in imports.items()
    }


def mermaid(parent: str, imports: Mapping[str, set[str]]) -> str:
    """Return the diagram of a package as Mermaid draws it, upper layers first."""
    names = {node: node.removeprefix(f"{parent}.") for node in imports}
    lines = ["```mermaid", "flowchart TD"]
    for layer in reversed(layers(imports)):
        lines += [f"    {names[node]}" for node in layer]
    for node, targets in sorted(direct(imports).items()):
        lines += [f"    {names[node]} --> {names[target]}" for target in sorted(targets)]
    return "\n".join([*lines, "```"])


def diagrams() -> str:
    """Return the diagrams of the whole package and of hepda.events, with a heading each."""
    graph = grimp.build_graph("hepda", exclude_type_checking_imports=True, cache_dir=None)
    parts = []
    for parent in ("hepda", "hepda.events"):
        imports = {k: v for k, v in arrows(parent, graph).items() if not k.endswith("__main__")}
        parts.append(f"### {parent}\n\n{mermaid(parent, imports)}")
    return "\n\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or compare it with the imports; return the exit status."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    wanted = f"{before}{BEGIN}\n\n{diagrams()}\n\n{END}{after}"
    if "--check" in arguments:
        return 0 if text == wanted else 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
