"""A folder in which the commands of the documentation run: ntuples, `mine.yaml` of the tutorial, a finished run."""

import shlex
import shutil
from pathlib import Path

from tests.docs.pages import REPOSITORY, blocks_of
from tests.factory import write_sample

EVENTS = 1200
SMALL = (
    "training.epochs=1", "training.processes=1", "evaluation.bootstrap=10", "evaluation.probes=false",
    "models.bdt.iterations=10", "models.network.encoder=[16]", "models.dann.encoder=[16]",
)  # fmt: skip
"""What makes a command of the documentation fast; nothing of it changes which code runs."""


def write_ntuples(folder: Path) -> None:
    """Write the samples that the pages name."""
    write_sample(folder / "ttH.root", EVENTS, 1, signal=True, cross_section=0.5)
    write_sample(folder / "ttjets.root", EVENTS, 2, signal=False, cross_section=20.0)
    write_sample(folder / "ttH_alt.root", EVENTS, 3, signal=True, shift=1.0, cross_section=0.5)
    write_sample(folder / "ttjets_alt.root", EVENTS, 4, signal=False, shift=1.0, cross_section=20.0)
    write_sample(folder / "ttjets_third.root", EVENTS, 5, signal=False, shift=-1.0, cross_section=20.0)
    write_sample(folder / "data.root", EVENTS, 6, signal=False, shift=0.5, data=True, signal_fraction=0.05)


def tutorial_file() -> str:
    """Return `mine.yaml` as the tutorial has it."""
    blocks = blocks_of(REPOSITORY / "docs/tutorial.md")
    return next(block.text for block in blocks if block.marked("file") == "mine.yaml")


def fast(words: list[str]) -> list[str]:
    """Return the arguments of a command of hepda with what makes it small, where the command does not say otherwise."""
    more = {
        "train": [*(part for one in SMALL for part in ("--set", one)), "--plots", "none"],
        "scan": [*(part for one in SMALL for part in ("--set", one)), "--plots", "none"],
        "fit": ["--toys", "20", "--bootstrap", "10", "--plots", "none", "--processes", "1"],
        "compare": ["--plots", "none"],
        "apply": ["--processes", "1"],
    }.get(words[0], [])
    chosen = [more[i : i + 2] for i in range(0, len(more), 2)]
    return [*words, *(part for pair in chosen if pair[0] == "--set" or pair[0] not in words for part in pair)]


def runs_here(command: str, folder: Path) -> bool:
    """Return whether a command is about the files of the sandbox; the analyses of the project take too long."""
    words = shlex.split(command)
    named = [word for word in words[1:] if word.startswith("runs/") or word.endswith((".yaml", ".root"))]
    mine = [word for word in named if word.startswith("runs/mine") or (folder / word).exists()]
    return words[0] == "hepda" and bool(mine) and not any(word in words for word in ("cuda", "--cluster", "--profile"))


def copied(base: Path, folder: Path, *, with_run: bool) -> Path:
    """Return a copy of a sandbox for one page; with the run, `mine.yaml` names the files that the run has read."""
    if not with_run:
        return Path(shutil.copytree(base, folder, ignore=shutil.ignore_patterns("runs")))
    shutil.copytree(base, folder)
    mine = folder / "mine.yaml"
    mine.write_text(mine.read_text().replace("files: ntuples/", f"files: {base}/ntuples/"))
    return folder
