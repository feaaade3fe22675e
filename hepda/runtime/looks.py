"""How often the held-out domains of an analysis were looked at: looks.json of a run directory.

A held-out domain answers a question once: whoever chooses anything after a look has used it. Commands that make numbers
of such a domain append a line to the file before they do, so that an interrupted one counts too. Nothing removes a
line, and a training that replaces a run keeps the file. Looks by other programs, or in another directory, are not seen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hepda.runtime import run_directory

FILE = "looks.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """A look: the time (ISO 8601, UTC), the command (such as `fit`), and the domain of which it made numbers."""

    time: str
    command: str
    domain: str


def read(folder: Path) -> list[Look]:
    """Return the looks that looks.json of `folder` records, the first one first; none without the file.

    Raises:
        ConfigError: the file cannot be read. It is not replaced, as looks would be lost.

    """
    path = folder / FILE
    if not path.is_file():
        return []
    entries = run_directory.read_json(path)
    with run_directory.readable(path):
        return [Look(str(entry["time"]), str(entry["command"]), str(entry["domain"])) for entry in entries]


def record(folder: Path, command: str, domains: Sequence[str]) -> None:
    """Append a look at each of the domains to looks.json of `folder`, and log how many there are now.

    Args:
        folder: the run directory, or that of a scan.
        command: the command of hepda that makes numbers of the domains.
        domains: the held-out domains; nothing is written if there are none.

    Raises:
        ConfigError: the file is there and cannot be read.

    """
    if not domains:
        return
    time = datetime.now(UTC).isoformat(timespec="seconds")
    looks = [*read(folder), *(Look(time, command, domain) for domain in domains)]
    run_directory.write_json(folder / FILE, [asdict(look) for look in looks])
    for line in sentences(looks):
        log.info(line)


def sentences(looks: Iterable[Look]) -> list[str]:
    """Return a sentence for each domain: how often it was looked at, by which commands, when first and last."""
    by_domain: dict[str, list[Look]] = {}
    for look in looks:
        by_domain.setdefault(look.domain, []).append(look)
    lines = []
    for domain, of_domain in by_domain.items():
        commands = [look.command for look in of_domain]
        by_command = ", ".join(f"{name} {commands.count(name)}" for name in dict.fromkeys(commands))
        times = of_domain[0].time if len(of_domain) == 1 else f"{of_domain[0].time} to {of_domain[-1].time}"
        number = "once" if len(of_domain) == 1 else f"{len(of_domain)} times"
        lines.append(f"Held-out domain {domain}: looked at {number} in this directory ({by_command}; {times}).")
    return lines
