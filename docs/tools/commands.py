"""Write the reference of the command line as Markdown, from the commands themselves."""

from __future__ import annotations

from typing import Any

import typer.main

from hepda.cli import app


def _rows(command: Any) -> list[tuple[str, str]]:
    """Return the arguments and options of a command, each with its text."""
    context = command.make_context(command.name, [], resilient_parsing=True)
    found = []
    for parameter in command.params:
        if "--help" in parameter.opts or getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            many = " ..." if parameter.nargs == -1 else ""
            name = f"{(parameter.metavar or parameter.name).upper()}{many}"
            found.append((name, parameter.help or ""))
            continue
        record = parameter.get_help_record(context)
        if record is not None:
            found.append(record)
    return found


def _section(name: str, command: Any) -> list[str]:
    usage = command.collect_usage_pieces(command.make_context(name, [], resilient_parsing=True))
    paragraphs = (command.help or "").replace("\f", "").strip().split("\n\n")
    lines = [f"## `hepda {name}` {{ #{name.replace(' ', '-')} }}", "", f"`hepda {name} {' '.join(usage)}`", ""]
    for paragraph in paragraphs:
        lines += [" ".join(paragraph.split()), ""]
    rows = _rows(command)
    if rows:
        cells = [f"| `{option}` | {' '.join(text.split()).replace('<', '&lt;')} |" for option, text in rows]
        lines += ["| option | |", "|---|---|", *cells, ""]
    return lines


def page() -> str:
    """Return the page: every command with its options."""
    group: Any = typer.main.get_command(app)
    lines = ["# Commands", "", "`hepda COMMAND --help` prints the same.", ""]
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            for inner, below in command.commands.items():
                lines += _section(f"{name} {inner}", below)
        else:
            lines += _section(name, command)
    lines += [
        "## Exit status", "",
        "| status | meaning |", "|---|---|",
        "| 0 | done |",
        "| 2 | an error that you can fix, explained in one message |",
        "| 3 | a scan is complete, but some trainings failed; its table, figure and page say which, and why |",
        "| 1 | a fault of hepda |",
        "| 130 | interrupted; the message says how to continue |", "",
    ]  # fmt: skip
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Return the page by its path below docs/."""
    return {"reference/commands.md": page()}
