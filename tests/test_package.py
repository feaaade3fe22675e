"""What is installed: a wheel without the checkout around it, its metadata, and the files that it needs."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from docs.licences import requirements

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable, "-m", "pip", "wheel", str(ROOT), "--wheel-dir", str(folder), "--quiet", "--no-deps",
        "--no-build-isolation", "--disable-pip-version-check",
    ]  # fmt: skip
    pytest.importorskip("setuptools", "77", reason="the build needs setuptools 77")
    subprocess.run(command, check=True)
    return next(folder.glob("hepda-*.whl"))


@pytest.mark.slow
def test_the_wheel_has_what_the_package_needs_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(archive.read(name).decode() for name in names if name.endswith("METADATA"))
    needed = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "hepda").rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".pyo"}
    }
    assert needed <= names, needed - names
    configs = {f"hepda/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    assert {name for name in names if ".dist-info/" not in name} == needed | configs
    assert "License-Expression: BSD-3-Clause" in metadata
    assert wheel.stat().st_size < 2_000_000


@pytest.mark.slow
def test_the_wheel_alone_makes_and_trains_the_toy_and_finds_an_example(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    away = tmp_path / "away"
    away.mkdir()
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}

    def hepda(*arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "hepda", *arguments]
        done = subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    where = [sys.executable, "-c", "import hepda; print(hepda.__file__)"]
    place = subprocess.run(where, cwd=away, env=environment, capture_output=True, text=True, check=True).stdout
    assert Path(place.strip()) == tmp_path / "site" / "hepda" / "__init__.py"
    hepda("example", "toy", "--events", "1000")
    quick = ["training.epochs=1", "evaluation.bootstrap=5", "models.bdt=null"]
    sets = [word for setting in quick for word in ("--set", setting)]
    hepda("train", "--config", "toy/toy.yaml", "--plots", "few", *sets)
    metrics = json.loads((away / "runs" / "toy" / "metrics.json").read_text())
    assert set(metrics["models"]) == {"network", "dann"}
    assert (away / "runs" / "toy" / "report.html").is_file()
    hepda("check", "--config", "digits.yaml")
    assert "`hepda example` writes toy events" in hepda("check", "--config", "tth.yaml", status=2)


@pytest.mark.slow
def test_every_library_that_the_package_imports_is_a_dependency_or_an_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    declared = {requirement.split(">")[0].split("=")[0].lower().replace("-", "_") for requirement in requirements}
    without_a_bound = [name for name in project["dependencies"] if ">=" not in name]
    assert not without_a_bound
    imported = _imported(ROOT / "hepda")
    names = {
        "mlflow": "mlflow_skinny",
        "yaml": "pyyaml",
        "PIL": "pillow",
        "sklearn": "scikit_learn",
        "skimage": "scikit_image",
    }
    # these come with a dependency, whose interface needs them
    of_others = {
        "boost_histogram",
        "click",
        "cycler",
        "dask",
        "fsspec",
        "hepdata_validator",
        "pydantic_core",
        "requests",
        "threadpoolctl",
        "typing_extensions",
    }
    missing = (
        {names.get(name, name) for name in imported} - declared - set(sys.stdlib_module_names) - {"hepda"} - of_others
    )
    assert not missing, missing


def test_the_page_of_licences_names_every_library() -> None:
    rows = [line for line in (ROOT / "docs" / "licences.md").read_text().splitlines() if line.startswith("| ")]
    listed = {tuple(cell.strip() for cell in row.strip("|").split("|"))[:2] for row in rows[1:]}
    assert listed == {(name, f"extra `{extra}`" if extra else "hepda") for name, extra in requirements()}
    assert not [row for row in rows if "not known" in row or "not stated" in row]


def _imported(folder: Path) -> set[str]:
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
    return names
