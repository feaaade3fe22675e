"""Options that take several names: separated by commas and repeated are the same, and no name is dropped silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepda.cli import _names, main

ROOT = Path(__file__).parents[1]
RUN = Path(__file__).parent / "data" / "run_format_2"
SCAN = ["scan", "--config", str(ROOT / "configs" / "tth.yaml"), "--vary", "models.dann.domain.strength=0,1"]


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (None, ()),
        (["a,b"], ("a", "b")),
        (["a", "b"], ("a", "b")),
        (["a, b", "c,,a"], ("a", "b", "c")),
    ],
)
def test_names_of_all_repetitions_are_taken_once(texts: list[str] | None, names: tuple[str, ...]) -> None:
    assert _names(texts) == names


@pytest.mark.parametrize(
    ("command", "option", "names"),
    [
        (["fit", str(RUN), "--toys", "0"], "--models", ("nosuch", "network")),
        (["export", str(RUN), "--format", "onnx", "--output", "OUT"], "--models", ("nosuch", "network")),
        (SCAN, "--models", ("nosuch", "dann")),
        (SCAN, "--methods", ("nosuch", "dann")),
        (["generate", "--config", str(ROOT / "analyses/tth/generate.py"), "--output", "OUT"], "--samples",
         ("nosuch", "tth")),
    ],
)  # fmt: skip
def test_a_name_is_not_forgotten_when_the_option_is_repeated(
    command: list[str], option: str, names: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tmp_path / "out") if word == "OUT" else word for word in command]
    given = [word for name in names for word in (option, name)]
    assert main([*words, *given]) == 2
    assert "'nosuch'" in capsys.readouterr().err and not (tmp_path / "out").exists()
