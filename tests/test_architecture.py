"""Who may import whom, and what is not imported before it is needed; all layers are derived from the tree."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

grimp = pytest.importorskip("grimp", reason="import-linter comes with the extra hepda[test]")

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch", "pandas", "sklearn", "scipy", "awkward", "uproot", "vector", "pyarrow", "matplotlib", "mplhep", "skops",
    "pyhf", "iminuit",
)  # fmt: skip
LIGHT = (
    "hepda", "hepda.start", "hepda.errors", "hepda.cli", "hepda.config", "hepda.kinds", "hepda.runtime.run_directory",
    "hepda.runtime.pool", "hepda.runtime.jobs", "hepda.events.training.jobs", "hepda.events.kind",
    "hepda.report.page", "hepda.events", "hepda.evaluation", "hepda.plotting", "hepda.baselines",
    "hepda.baselines.bdt", "hepda.events.table.feature_table", "hepda.events.dataset.splits",
    "hepda.events.table.store", "hepda.api", "hepda.api.run", "hepda.api.training",
)  # fmt: skip
WITH_ANALYSIS_FILE = ("hepda.config", "hepda.workflows", "hepda.kinds", "hepda.cli", "hepda.events.kind",
                      "hepda.events.steps", "hepda.events.check", "hepda.events.resolve")  # fmt: skip
"""Modules and packages that take the analysis file of events as a whole; below them, what is resolved from it."""
ARRAYS = ("adversarial", "baselines", "evaluation", "plotting", "results")
"""Packages that take arrays and know nothing of hepda but its errors and the types of results."""


def load_diagram():
    spec = importlib.util.spec_from_file_location("diagram", ROOT / "docs" / "diagram.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


diagram = load_diagram()


@pytest.fixture(scope="module")
def graph():
    """All imports, those for type hints too."""
    return grimp.build_graph("hepda", include_external_packages=True, cache_dir=None)


@pytest.fixture(scope="module")
def runtime_graph():
    return grimp.build_graph("hepda", exclude_type_checking_imports=True, cache_dir=None)


def packages_of(graph, root="hepda"):
    return sorted(module for module in {root} | graph.find_descendants(root) if graph.find_children(module))


def imports_of(graph, package):
    """Modules outside `package` that it or its descendants import."""
    own = {package} | graph.find_descendants(package)
    return set().union(*(graph.find_modules_directly_imported_by(module) for module in own)) - own


def test_the_modules_of_every_package_are_in_layers(runtime_graph):
    """Imports run downwards: `layers` raises ValueError for a cycle, and there is more than one layer to speak of."""
    counts = {p: len(diagram.layers(diagram.arrows(p, runtime_graph))) for p in packages_of(runtime_graph)}
    assert counts["hepda"] > 3


def test_a_cycle_is_found():
    with pytest.raises(ValueError, match="a, b"):
        diagram.layers({"a": {"b"}, "b": {"a"}, "c": set()})


def test_the_core_has_no_cycle_even_of_type_hints(graph):
    for package in packages_of(graph, "hepda.adversarial"):
        diagram.layers(diagram.arrows(package, graph))


def test_the_command_line_is_on_top_and_errors_below(graph):
    assert graph.find_modules_that_directly_import("hepda.cli") == {"hepda.start"}
    assert graph.find_modules_that_directly_import("hepda.start") == {"hepda.__main__"}
    workflows = {"hepda.workflows"} | graph.find_descendants("hepda.workflows")
    users = set().union(*(graph.find_modules_that_directly_import(module) for module in workflows)) - workflows
    assert users == {"hepda.api.training", "hepda.cli"}
    for module in ("hepda.errors", "hepda.timing"):
        assert not imports_of(graph, module) & graph.find_descendants("hepda"), module


def test_nothing_below_the_workflows_takes_the_whole_analysis_file():
    pages = [page for page in (ROOT / "hepda").rglob("*.py") if "AnalysisConfig" in page.read_text()]
    modules = [".".join(page.relative_to(ROOT).with_suffix("").parts) for page in pages]
    assert modules
    assert [m for m in modules if not f"{m}.".startswith(tuple(f"{name}." for name in WITH_ANALYSIS_FILE))] == []


def test_no_folder_has_more_than_fifteen_modules():
    sizes = {folder: len([p for p in folder.glob("*.py") if p.name != "__init__.py"]) for folder in
             (ROOT / "hepda").rglob("*") if folder.is_dir()}  # fmt: skip
    assert {str(folder): size for folder, size in sizes.items() if size > 15} == {}


def test_the_tests_mirror_the_package():
    """A folder of tests has the name of a folder of the package, or of one beside it (analyses, benchmarks, docs)."""
    folders = {p.relative_to(ROOT / "tests").parent for p in (ROOT / "tests").rglob("test_*.py")}
    beside = {Path("analyses"), Path("benchmarks"), Path("docs")}
    assert {str(folder) for folder in folders - beside if not (ROOT / "hepda" / folder).is_dir()} <= set()


def test_the_diagram_of_the_documentation_is_that_of_the_imports():
    assert diagram.main(["--check"]) == 0, "the imports have changed: run `python docs/diagram.py`"


def test_the_contracts_of_pyproject_hold():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_the_contracts_can_break(tmp_path):
    """An import against the direction is found, in a copy of the tree with empty modules."""
    contracts = (ROOT / "pyproject.toml").read_text().partition("[tool.importlinter]")
    (tmp_path / "pyproject.toml").write_text(contracts[1] + contracts[2])
    for page in (ROOT / "hepda").rglob("*.py"):
        copy = tmp_path / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("")
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    breaks = {
        "adversarial": "import hepda.runtime",
        "evaluation": "import hepda.config",
        "plotting": "import torch",
        "images": "import hepda.events",
    }
    for package, line in breaks.items():
        page = tmp_path / "hepda" / package / "__init__.py"
        page.write_text(line + "\n")
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 1 and f"hepda.{package}" in result.stdout, (line, result.stdout)
        page.write_text("")
    (tmp_path / "hepda" / "config" / "__init__.py").write_text("import hepda.kinds\n")
    (tmp_path / "hepda" / "kinds.py").write_text("import hepda.config\n")
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and ".kinds -> .config" in result.stdout


@pytest.mark.parametrize("package", ARRAYS)
def test_a_package_of_arrays_imports_nothing_of_hepda_but_errors_timing_formats_and_results(graph, package):
    found = {module for module in imports_of(graph, f"hepda.{package}") if module.split(".")[0] == "hepda"}
    texts = {"hepda.errors", "hepda.number_format", "hepda.descriptions", "hepda.timing"}
    assert found <= texts | graph.find_descendants("hepda.results")


def test_the_core_knows_neither_files_nor_figures(graph):
    outside = {module for module in imports_of(graph, "hepda.adversarial") if not module.startswith("hepda")}
    assert outside & {"torch", "numpy", "safetensors"}
    packages = outside - set(sys.stdlib_module_names)
    assert packages <= {"torch", "numpy", "safetensors", "scipy", "sklearn"}


def test_nothing_unpickles_or_evaluates(graph):
    for module in ("pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"):
        assert module not in graph.modules or not graph.find_modules_that_directly_import(module)


@pytest.mark.slow
@pytest.mark.parametrize("module", LIGHT)
def test_nothing_heavy_is_imported_before_it_is_needed(module):
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
