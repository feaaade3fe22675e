"""Write the pages of the Python reference: the public names of each package, whose docstrings mkdocstrings adds."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass

OPTIONS = "    options: {show_root_heading: true, heading_level: 2}"


@dataclass(frozen=True)
class Module:
    """A module whose names the reference lists."""

    name: str
    title: str
    text: str
    only: tuple[str, ...] = ()


MODULES = {
    "evaluation": (
        Module("hepda.evaluation.roc", "ROC curves", "Area and curve with signed weights."),
        Module("hepda.evaluation.efficiency", "Efficiencies", "Efficiencies, cuts and working points."),
        Module("hepda.evaluation.significance", "Significance", "The Asimov significance of a counting experiment."),
        Module("hepda.evaluation.expected", "Expected significance", "Scans of cuts and bins, with the bias."),
        Module("hepda.evaluation.working_points.thresholds", "Thresholds", "Chosen on some events, judged on others."),
        Module(
            "hepda.evaluation.working_points.objectives",
            "Objectives of thresholds",
            "F1, significance, equal background.",
        ),
        Module("hepda.evaluation.working_points.policy", "Learned policy", "REINFORCE, to compare with a search."),
        Module("hepda.evaluation.differences.distances", "Distances", "Distances between two weighted samples."),
        Module("hepda.evaluation.differences.bias", "Two domains", "Distances, null distributions, shifts."),
        Module("hepda.evaluation.differences.composition", "Rates and shapes", "Where a shift comes from."),
        Module("hepda.evaluation.differences.ratios", "Apparent and unseen", "Ratios of shifts to the baseline's."),
        Module("hepda.evaluation.differences.probes", "Probes", "Fresh classifiers of the domain."),
        Module("hepda.evaluation.differences.flatness", "Flatness", "Dependence of a score on a variable."),
        Module("hepda.evaluation.calibration", "Calibration", "A score as a probability."),
    ),
}


def public_names() -> dict[str, list[str]]:
    """Return the public names of each package that has a page: hepda's own where it has some, and the estimators'."""
    packages = {"hepda": "reference/python/hepda.md", "hepda.adversarial": "reference/python/adversarial.md"}
    return {package: _names(package) for package in packages}


def _names(package: str) -> list[str]:
    module = importlib.import_module(package)
    names = sorted(getattr(module, "__all__", ()), key=str.casefold)
    return [name for name in names if inspect.getdoc(getattr(module, name)) and not name.startswith("__")]


def _listed(package: str, title: str, text: str) -> str:
    lines = [f"# {title}", "", text, ""]
    for name in _names(package):
        lines += [f"::: {package}.{name}", OPTIONS, ""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Return the pages by their path below docs/."""
    lines = [
        "# hepda.evaluation", "",
        "Arrays in, frozen dataclasses out. Every function takes signed weights. "
        "[How the numbers are made](../../numbers.md) has the formulas on one page.", "",
    ]  # fmt: skip
    for module in MODULES["evaluation"]:
        functions = [
            name for name, value in vars(importlib.import_module(module.name)).items()
            if inspect.isfunction(value) and value.__module__ == module.name and not name.startswith("_")
        ]  # fmt: skip
        lines += [f"## {module.title}", "", f"{module.text} `from {module.name} import {functions[0]}`", ""]
        for name in functions:
            lines += [f"::: {module.name}.{name}", OPTIONS.replace("2", "3"), ""]
    found = {
        "reference/python/adversarial.md": _listed(
            "hepda.adversarial", "hepda.adversarial",
            "Estimators with the interface of scikit-learn, and the parts they are made of: tensors in, trained "
            "network out. Import the names from `hepda.adversarial`.",
        ),
        "reference/python/evaluation.md": "\n".join(lines),
    }  # fmt: skip
    if _names("hepda"):
        found["reference/python/hepda.md"] = _listed(
            "hepda", "hepda", "The names that `import hepda` gives: finished runs, their scores, figures and models."
        )
    return found
