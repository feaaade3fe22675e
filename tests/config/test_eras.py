"""Eras with a luminosity each: samples, lists of samples and systematics become those of each era."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hepda.config import load_config, resolved_yaml, validate
from hepda.errors import ConfigError
from hepda.events.dataset.load import load_table
from hepda.events.resolve import appearance, dataset_spec, domains_of, systematics_spec
from tests.factory import analysis, write_sample
from tests.howto import write_page

ERAS = {2016: 30.0, 2017: 50.0}


def of_eras(name: str) -> dict[int, str]:
    return {era: f"{name}_{era}.root" for era in ERAS}


def with_changes(**changes: Any) -> dict[str, Any]:
    """The small analysis in two eras."""
    content = analysis(luminosity=dict(ERAS))
    for name in ("signal", "background", "background_alt", "data"):
        content["samples"][name]["files"] = of_eras(name)
    for path, value in changes.items():
        *way, last = path.split("__")
        section = content
        for part in way:
            section = section.setdefault(part, {})
        section[last] = value
    return content


def test_samples_and_lists_of_samples_are_those_of_each_era() -> None:
    section = {"source": "background", "target": {"A": ["background_alt"]}, "head": [4]}
    config = validate(
        with_changes(
            models__dann={"kind": "network", "domain": section, "train_on": ["signal", "background"]},
            samples__background__cross_section={2016: 800, 2017: 900},
            samples__background__label="tt",
        )
    )
    assert config.luminosity == 80.0
    assert config.eras == {"2016": 30.0, "2017": 50.0}
    assert [name for name in config.samples if "background" in name or "data" in name] == [
        "background_2016", "background_2017", "background_alt_2016", "background_alt_2017", "data_2016", "data_2017",
    ]  # fmt: skip
    late = config.samples["background_2017"]
    assert (late.luminosity, late.cross_section, late.era, late.label) == (50.0, 900, "2017", "tt (2017)")
    assert config.samples["data_2017"].luminosity is None
    assert config.samples["signal_alt"].luminosity is None  # its files are of no era
    model = config.models["dann"]
    assert model.train_on == ("signal_2016", "signal_2017", "background_2016", "background_2017")
    assert model.domain is not None
    assert model.domain.source == ("background_2016", "background_2017")
    assert model.domain.targets == {"A": ("background_alt_2016", "background_alt_2017")}
    entry = domains_of(config).counterparts["alternative", "background"].processes
    assert entry == {"background": (model.domain.source, model.domain.targets["A"])}
    assert appearance(config).luminosity == 80.0
    assert validate(yaml.safe_load(resolved_yaml(config))) == config


def test_systematics_of_each_era() -> None:
    config = validate(
        with_changes(
            systematics={
                "lumi": {"kind": "norm", "value": {2016: 0.012, 2017: 0.023}, "label": "Luminosity"},
                "b": {"kind": "weight", "up": "b_up", "correlated": {"eras": False, "regions": False}},
                "late": {"kind": "norm", "value": 0.2, "eras": 2017, "samples": "background"},
                "all": {"kind": "norm", "value": 0.1, "samples": ["background"]},
            },
            models__dann={
                "kind": "network",
                "domain": {"source": ["background"], "target": {"variation": ["b_up"]}, "head": [4]},
            },
        )
    )
    spec = systematics_spec(config)
    assert {name: spec.varied_samples(name) for name in spec.sections} == {
        "lumi_2016": ("signal_2016", "background_2016"),
        "lumi_2017": ("signal_2017", "background_2017"),
        "b_2016": ("signal_2016", "background_2016"),
        "b_2017": ("signal_2017", "background_2017"),
        "late": ("background_2017",),
        "all": ("background_2016", "background_2017"),
    }
    assert config.systematics["lumi_2017"].label == "Luminosity (2017)"
    assert not config.systematics["b_2016"].correlated.regions
    assert set(spec.processes.values()) == {"signal", "background"}
    variations = config.models["dann"].domain.variation_names  # type: ignore[union-attr]
    assert variations == ("b_2016_up", "b_2017_up")


def test_groups_of_stitched_samples_are_those_of_each_era() -> None:
    content = with_changes(samples__part=dict(files=of_eras("part"), **{"class": "background", "domain": "simulation"}))
    content["stitched"] = {"tt": {"background": "True", "part": "n_jets == 5"}}
    config = validate(content)
    assert {group: list(members) for group, members in config.stitched.items()} == {
        "tt_2016": ["background_2016", "part_2016"],
        "tt_2017": ["background_2017", "part_2017"],
    }
    assert {systematics_spec(config).processes[f"part_{era}"] for era in ERAS} == {"tt"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"luminosity": 3.0}, r"samples.signal.files: is given by era, and the analysis has no eras.*2016: ..., 2017"),
        ({"luminosity": {}}, "luminosity: has no era"),
        ({"luminosity": {2016: 1, 2017: -1}}, "luminosity.2017: must be a positive number"),
        ({"luminosity": {2016: 1, "20-17": 1}}, "luminosity.20-17: the name of an era"),
        ({"samples__signal__files": {2016: "a.root"}}, "samples.signal.files: has no value for 2017"),
        ({"samples__signal__files": {2016: "a", 2017: "b", 2018: "c"}}, "samples.signal.files.2018: is no era.*2017"),
        ({"samples__signal_alt__k_factor": {2016: 1, 2017: 2}}, "k_factor: is given by era, and `files` is not"),
        ({"samples__signal__luminosity": 3.0}, "samples.signal.luminosity: its eras have those"),
        ({"samples__signal_2016": {"files": "a.root", "domain": "data"}}, "has the name of another sample"),
        ({"systematics": {"x": {"kind": "norm", "value": {2018: 1.0}}}}, "systematics.x.value.2018: is no era"),
        ({"systematics": {"x": {"kind": "norm", "value": 1.0, "eras": [2018]}}}, "systematics.x.eras: '2018' is no"),
        (
            {"systematics": {"x": {"kind": "two_point", "domain": "alternative", "eras": 2016}}},
            "systematics.x: another generator has all eras",
        ),
    ],
)
def test_what_does_not_fit_together_is_told_with_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(with_changes(**changes))


def test_eras_of_systematics_need_eras() -> None:
    with pytest.raises(ConfigError, match=r"systematics.x: the analysis has no eras"):
        validate(analysis(systematics={"x": {"kind": "norm", "value": 0.1, "eras": ["2016"]}}))


def test_the_page_on_eras(tmp_path: Path) -> None:
    for era, first in ((16, 1), (17, 10)):
        write_sample(tmp_path / f"signal_{era}.root", 400, first, True, cross_section=0.5, generated=100 * first)
        write_sample(tmp_path / f"background_{era}.root", 400, first + 1, False, generated=1000 * first)
        write_sample(tmp_path / f"data_{era}.root", 100 * first, first + 2, False, data=True)
    base = analysis(models={"network": {"kind": "network", "encoder": [4]}}, features=["met"], plots={})
    base["samples"] = {name: base["samples"][name] for name in ("signal", "background", "data")}
    base["evaluation"] = {"bootstrap": 10}
    config = load_config(write_page("eras", tmp_path, base))
    loaded = load_table(dataset_spec(config)).samples
    for name, luminosity, generated in (("background_2016", 36.3, 1000), ("background_2017", 41.5, 10000)):
        summary = loaded[name]
        mean = summary.sum_of_weights / generated
        assert summary.normalisation == pytest.approx(luminosity * 1000 * 831.8 / (mean * generated))
    assert loaded["data_2017"].entries == 10 * loaded["data_2016"].entries
    assert list(config.systematics) == [
        "lumi_2016", "lumi_2017", "b_tag_2016", "b_tag_2017", "pileup", "background_rate",
    ]  # fmt: skip
