"""What the documentation shows is right: every YAML is loaded, every command and every piece of Python is run."""

import json
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from jsonschema import Draft202012Validator

from hepda.cli import app, main
from hepda.config import json_schema, load_any
from hepda.config.loading import EXAMPLE_CONFIGS, find_config, resolved_yaml
from tests.docs import sandbox
from tests.docs.pages import BLOCKS, PAGES, REPOSITORY, Block, of
from tests.factory import analysis

pytestmark = pytest.mark.slow

CHECKED = {"yaml", "sh", "python"}
SHOWN = {"text", "math", "mermaid", "cpp", "latex"}
"""What is only read: output, formulas, diagrams, other programs."""

COMMANDS = [block for block in of("sh") if block.marked("not run") is None]
RUNNABLE = sorted({block.page for block in [*of("sh"), *of("python")]})


@pytest.fixture(scope="session")
def schema() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the YAMLs of the pages are laid over; files of events are named, not opened."""
    folder = tmp_path_factory.mktemp("yaml")
    mine = folder / "mine.yaml"
    mine.write_text(sandbox.tutorial_file())
    (folder / "analysis.yaml").write_text(yaml.safe_dump(analysis(), sort_keys=False))  # "yours", in pages on one key
    (folder / "toy").mkdir()
    (folder / "toy" / "toy.yaml").write_text(resources.files("hepda.datasets").joinpath("toy.yaml").read_text())
    run = folder / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(resolved_yaml(load_any(mine)))
    return folder


def test_all_pages_are_walked() -> None:
    pages = {str(path.relative_to(REPOSITORY)) for path in PAGES}
    assert {
        "README.md",
        "docs/tutorial.md",
        "docs/howto/regions.md",
        "docs/coming-from/tmva.md",
        "analyses/tth/README.md",
    } <= pages
    assert len(BLOCKS) > 60


def test_every_block_has_a_language() -> None:
    assert [str(block) for block in BLOCKS if block.language not in CHECKED | SHOWN] == []


def test_blocks_that_are_not_run_are_few_and_say_why() -> None:
    unrun = [block for block in BLOCKS if block.marked("not run") is not None]
    assert all(len(block.marked("not run") or "") > 8 for block in unrun)
    assert len(unrun) <= 15, [str(block) for block in unrun]
    own = [block for block in of("yaml", "python") if block.marked("not hepda") is not None]
    assert len(own) <= 10, [str(block) for block in own]


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_is_loaded(
    block: Block, files: Path, schema: Draft202012Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    if block.marked("not hepda") is not None:
        assert isinstance(yaml.safe_load(block.text), dict)
        return
    if block.marked("cabinetry") is not None:
        cabinetry = pytest.importorskip("cabinetry")
        assert cabinetry.configuration.validate(yaml.safe_load(block.text))
        return
    monkeypatch.setenv("HEPDA_DATA", str(files))
    text, base = block.text, block.marked("over")
    if base is not None:
        below = files / base if (files / base).exists() else EXAMPLE_CONFIGS / base
        text = f"include: {below}\n{text}"
    path = files / f"{block.page.replace('/', '-')}-{block.line}.yaml"
    path.write_text(text)
    config = load_any(path)
    with_text_keys = json.loads(json.dumps(yaml.safe_load(text)))  # a year is a number in YAML, and a key in JSON
    assert not [error.message for error in schema.iter_errors(with_text_keys)]
    assert config.models


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_every_command_exists(block: Block, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options and arguments of hepda are parsed and its analysis file is loaded; others name what the project has."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("HEPDA_DATA", str(files))
    for command in block.commands:
        words = shlex.split(command)
        if words[0].endswith("python") and words[1:3] == ["-m", "hepda"]:
            words = ["hepda", *words[3:]]
        if words[0] == "hepda":
            _parsed(words[1:])
        elif words[0] == "make":
            targets = (REPOSITORY / "Makefile").read_text()
            assert all(re.search(rf"^{word}:", targets, re.MULTILINE) for word in words[1:] if "=" not in word), command
        elif words[:2] == ["pip", "install"]:
            known = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            extras = re.findall(r"\[(.*?)\]", words[-1])
            assert words[-1].startswith((".", "hepda")), command
            assert all(name in known for names in extras for name in names.split(",")), command
        elif words[0] in ("python", "sh", ".venv/bin/python"):
            assert (REPOSITORY / words[1]).is_file(), command
        else:
            pytest.fail(f"{command}: no test knows this; mark the block with `<!-- test: not run, WHY -->`")


def _parsed(words: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    context = group.make_context("hepda", [*words], resilient_parsing=words[0].startswith("-"))
    if words[0].startswith("-"):
        return
    name, command, rest = group.resolve_command(context, words)
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, rest)
    parsed = command.make_context(name, [*rest], parent=context).params
    config, changes = parsed.get("config"), parsed.get("set_") or []
    # the configurations that a page writes itself exist in the sandbox, where the command is run
    if config is not None and name not in ("generate", "fit"):
        path = find_config(config)
        assert load_any(path, [change for change in changes if "$" not in change]).name
    elif name == "generate":
        assert (REPOSITORY / config).is_file()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sandbox with a finished and fitted run of the tutorial's analysis."""
    folder = tmp_path_factory.mktemp("docs") / "base"
    sandbox.write_ntuples(folder / "ntuples")
    (folder / "mine.yaml").write_text(sandbox.tutorial_file())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(sandbox.fast(["train", "--config", "mine.yaml"])) == 0
        assert main(sandbox.fast(["fit", "runs/mine", "--models", "bdt"])) == 0
    yield folder


@pytest.mark.parametrize("page", RUNNABLE)
def test_page_works_from_top_to_bottom(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """All blocks of a page in their order: files are written, commands and Python are run.

    Commands on the analyses of the project, which take minutes to hours, are only parsed: by the test above.
    """
    blocks = [block for block in BLOCKS if block.page == page]
    mine = "mine" in "".join(block.text for block in blocks)
    folder = tmp_path / "work"
    if mine:
        base = request.getfixturevalue("trained")
        sandbox.copied(base, folder, with_run=page not in ("docs/tutorial.md", "README.md", "docs/index.md"))
    else:
        folder.mkdir()
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for block in blocks:
        if (name := block.marked("file")) is not None:
            (folder / name).write_text(block.text)
        elif block.language == "sh" and block.marked("not run") is None:
            _run(block, folder)
        elif block.language == "python" and block.marked("not hepda") is None:
            needed = block.marked("needs")
            if needed is not None:
                pytest.importorskip(needed)
            exec(compile(block.text, str(block), "exec"), names)  # noqa: S102 - the documentation's own code


def _run(block: Block, folder: Path) -> None:
    for command in block.commands:
        if sandbox.runs_here(command, folder):
            status = main(sandbox.fast(shlex.split(command)[1:]))
            assert status == 0, f"{block}: {command}: exit status {status}"


def test_help_of_the_tools_is_not_stale() -> None:
    """The script that draws the diagrams of the architecture still reads this page."""
    names = runpy.run_path(str(REPOSITORY / "docs" / "diagram.py"))
    assert names["BEGIN"] in (REPOSITORY / "docs" / "architecture.md").read_text()
