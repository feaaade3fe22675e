"""The analysis file: what it gives, and what each mistake in it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from jsonschema import Draft202012Validator

from hepda.config import (
    AnalysisConfig,
    BdtConfig,
    DomainConfig,
    NetworkConfig,
    find_config,
    json_schema,
    load_any,
    load_config,
    resolved_yaml,
    validate,
)
from hepda.config.events import model_checks
from hepda.config.yaml_text import parse
from hepda.errors import ConfigError

TEXT = """\
name: small
kind: events
luminosity: 140
samples:
  ttH: {files: ../ntuples/ttH*.root, class: signal, domain: simulation, cross_section: 0.29}
  ttjets: {files: [a.root, b.root], class: background, domain: simulation, cross_section: 98}
  alt: {files: "root://host//alt.root", class: background, domain: alternative, sum_of_weights: 3.5}
  third: {files: third.root, class: background, domain: third, use: evaluate}
  data: {files: /data/data.root, domain: data}
variables: {ht: sum(jet_pt), n_jets: count(jet_pt), m_bb: max(jet_pt)}
selection: n_jets >= 5
weight: 1
features: [ht, n_jets]
plots: {ht: {label: HT, unit: GeV, range: [0, 1000]}}
models:
  network: {kind: network, training: {epochs: 3}}
  dann: {kind: network, encoder: [16], domain: {source: [ttjets], target: alt, warmup: 2}}
  bdt: {kind: bdt}
training: {learning_rate: 1e-3, seed: 4}
evaluation: {bias: {between: [simulation, alternative]}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "configs"
    folder.mkdir()
    file = folder / "small.yaml"
    file.write_text(TEXT)
    return file


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_values_defaults_and_paths(path: Path) -> None:
    config = load_config(path)
    assert config.luminosity == 140.0
    assert config.weight == "1"
    assert config.samples["ttH"].files == (str(path.parents[1] / "ntuples/ttH*.root"),)
    assert config.samples["ttjets"].files == tuple(str(path.parent / f) for f in ("a.root", "b.root"))
    assert config.samples["alt"].files == ("root://host//alt.root",)
    assert config.samples["data"].is_data
    assert config.domains == ("simulation", "alternative", "third", "data")
    assert config.training.learning_rate == 1e-3
    assert config.training_samples("dann") == ("ttH", "ttjets")
    assert isinstance(config.models["bdt"], BdtConfig)


def test_model_training_is_complete_and_seed_moves_up(path: Path) -> None:
    config = load_config(path, ["training.epochs=7"])
    network, dann = config.models["network"], config.models["dann"]
    assert isinstance(network, NetworkConfig)
    assert isinstance(dann, NetworkConfig)
    assert network.training.epochs == 3
    assert network.training.learning_rate == 1e-3
    assert dann.training.epochs == 7
    assert config.seed == 4
    assert config.seed_for("dann") == 4
    again = load_config(path, ["models.dann.training.seed=9"])
    assert again.seed_for("dann") == 9
    assert again.seed_for("network") == 4


def test_resolved_text_loads_to_the_same(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(resolved_yaml(config))
    assert load_config(resolved) == config
    shorter = load_config(resolved, ["training.epochs=5"])
    assert [m.training.epochs for m in shorter.models.values() if isinstance(m, NetworkConfig)] == [3, 5]


def test_found_by_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parents[1])
    assert find_config("small.yaml").resolve() == path
    assert find_config("small").resolve() == path
    with pytest.raises(ConfigError, match=r"No analysis file 'smal\.yaml'.*Did you mean 'small\.yaml'"):
        find_config("smal.yaml")


def test_override_does_not_leak_through_an_anchor(path: Path) -> None:
    text = TEXT.replace("encoder: [16], domain: {", "encoder: [16], domain: &d {").replace(
        "  bdt:", "  other: {kind: network, domain: *d}\n  bdt:"
    )
    path.write_text(text)
    config = load_config(path, ["models.dann.domain.strength=3"])
    strengths = [m.domain.strength for m in config.models.values() if isinstance(m, NetworkConfig) and m.domain]
    assert strengths == [3.0, 1.0]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trainin.epochs=3", "trainin: unknown key. Did you mean 'training'?"),
        ("models.dann.domain.strenght=2", "models.dann.domain.strenght (--set): unknown key. Did you mean"),
        ("models.dann.kind=netwrk", "must be one of network, bdt, fusion, not 'netwrk'. Did you mean 'network'?"),
        (
            "samples.ttH.class=sgnal",
            "samples (line 4): none has `class: signal`; name by `signal` which of sgnal, background are. Did you mean",
        ),
        ("samples.a/b={files: x, domain: data}", "'a/b' is not allowed as a name"),
        (
            "samples.data.class=signal",
            "samples.data.class (--set): a sample of the domain 'data' has no class",
        ),
        ("samples.data.cross_section=1", "samples.data.cross_section (--set): data are not normalised"),
        ("samples.ttH.use=evaluate", "none has `class: signal` and `use: train`"),
        ("models.dann.domain.target=[data]", "the class of 'data' is unknown"),
        ("models.dann.domain.target=ttjet", "'ttjet' is not a sample. Did you mean 'ttjets'?"),
        ("models.dann.domain.target=third", "'third' is marked `use: evaluate`; no model may train on it"),
        ("models.dann.domain.target=ttjets", "'ttjets' is in source as well"),
        ("models.dann.domain.source=ttH", "no sample of the list has `class: background`"),
        ("models.dann.domain.source=[]", "models.dann.domain.source (--set): is empty"),
        ("models.bdt.train_on=[ttH, third]", "'third' is marked `use: evaluate`"),
        ("models.bdt.train_on=[ttH, data]", "the class loss never sees data"),
        ("models.bdt.train_on=[ttH]", "the list has no background sample"),
        ("features=[ht, ht]", "features (--set): 'ht' is listed twice"),
        ("training.epochs='5'", "training.epochs (--set): input should be a valid integer, not '5'"),
        ("training.learning_rate=true", "training.learning_rate (--set)"),
        ("models.dann.domain.strength=.nan", "finite number"),
        ("evaluation.bias.between=[simulation, alternatve]", "Did you mean 'alternative'?"),
        ("evaluation.bias.between=[alternative, simulation]", "must begin with 'simulation'"),
        ("evaluation.protected=[htt]", "Did you mean 'ht'?"),
        ("evaluation.efficiency_against=[met, met]", "'met' is listed twice"),
        (
            "models.dann.domain.method=dan",
            "method (--set): 'dan' is not a method. Did you mean 'dann'?",
        ),
        ("models.dann.domain.method=dann,dann", "'dann' is listed twice"),
        ("models.dann.domain.method=none,dann", "'none' cannot be combined"),
        ("models.dann.domain.method=contrast", "needs three classes or more"),
        ("models.dann.domain.method=pseudo", "method 'pseudo' sorts the target into classes, so it needs `rows: all`"),
        ("models.dann.domain.method=conditional", "has a domain head a class, so it needs `rows: all`"),
        (
            "models.dann.domain={source: [ttH, ttjets], target: [alt], rows: all, method: conditional}",
            "models.dann.domain.target (--set): method 'conditional' needs samples of both classes here",
        ),
        (
            "models.dann.domain={source: ttjets, target: alt, method: disco, input: score}",
            "models.dann.domain.input (--set): has no effect with `method: disco` (it has with dann, vada)",
        ),
        (
            "models.dann.domain={source: ttjets, target: alt, method: coral, tail: 0.3}",
            "has no effect with `method: coral` (it has with dann, cdan, cdan+e, conditional, pivot, cramer, vada)",
        ),
        (
            "models.dann.domain={source: ttjets, target: alt, method: 'mmd, coral', smoothing: 0.1}",
            "models.dann.domain.smoothing (--set): has no effect with `method: mmd, coral`",
        ),
        ("models.dann.domain={source: ttjets, target: alt, method: wasserstein, steps: 3}", "5 steps or more"),
        ("models.dann.domain={source: ttjets, target: alt, method: mdd, head: [8, 8]}", "give one width"),
        ("models.dann.domain.tail=1.5", "models.dann.domain.tail (--set): input should be less than 1"),
        (
            "models.dann.domain.reweight={features: [hat]}",
            "reweight.features (--set): 'hat' is not a feature of this analysis. Did you mean 'ht'?",
        ),
        ("models.bdt.reweight={source: ttjets, target: third}", "'third' is marked `use: evaluate`"),
        ("models.bdt.reweight={source: alt, target: data}", "'alt' is not in the class loss of the model"),
        ("models.bdt.reweight={source: ttjets, target: [ttjets]}", "it looks like itself"),
        ("models.bdt.reweight={source: ttjet, target: alt}", "'ttjet' is not a sample. Did you mean 'ttjets'?"),
        ("models.bdt.reweight={source: ttjets, target: []}", "models.bdt.reweight.target (--set): is empty"),
        ("models.bdt.reweight={source: ttjets, target: alt, clip: 1}", "models.bdt.reweight.clip"),
        ("models.bdt.reweight={source: ttjets, target: alt, features: [ht, ht]}", "'ht' is listed twice"),
        ("models.network.parameter={simulation: 0, alternativ: 1}", "'alternativ' is not a domain. Did you mean"),
        ("models.network.parameter={simulation: 0, alternative: 1}", "has samples of one value only"),
        (
            "models.network={kind: network, train_on: [ttH, ttjets, alt], parameter: {simulation: 1, alternative: 2}}",
            "no domain has the value 0",
        ),
        ("models.dann.parameter={simulation: 0}", "gives no value for the domain 'alternative' of 'alt'"),
        ("seed=9", "differs from training.seed"),
        ("training.seed.x=3", "training.seed has no keys"),
        ("training.epochs=1000000000000", "input should be less than or equal to 100000, not 1000000000000"),
        ("training.epochs=1e12", "training.epochs"),
        ("training.batch_size=10000000000", "training.batch_size"),
        ("models.dann.encoder=[1000000000]", "input should be less than or equal to 65536"),
        ("models.dann.encoder=[60000, 60000]", "models.dann.encoder (--set): has 3.6e+09 weights, and at most 2e+08"),
        ("models.dann.class_head=[60000, 60000]", "models.dann.class_head"),
        ("models.dann.domain.head=[60000, 60000]", "models.dann.domain.head"),
        ("models.bdt.iterations=1000000000000", "models.bdt.iterations"),
        ("plots.ht.bins=1000000000", "plots.ht.bins"),
        ("evaluation.bootstrap=1000000000", "evaluation.bootstrap"),
        ("missing=1e300", "missing"),
        (
            "models.dan.domain.strength=3",
            "--set models.dan.domain.strength=3: models has no 'dan'. Did you mean 'dann'?",
        ),
        ("samples.ttj.cross_section=3", "samples has no 'ttj'"),
        ("models.extra.domain.strength=3", "models has no 'extra'. There are: bdt, dann, network. (A new one needs"),
        ("evaluation.protected=[m_bb]", "evaluation.protected (--set): 'm_bb' is a variable, but not in `features`"),
        ("training", "is not of the form key.key=value"),
        ("name=", "name (--set)"),
    ],
)
def test_each_mistake_has_its_message(path: Path, override: str, expected: str) -> None:
    assert expected in message(path, override)


def test_a_value_of_the_command_line_is_not_blamed_on_a_line(path: Path) -> None:
    assert "training.epochs (--set): input" in message(path, "training={epochs: no}")
    assert "training.momentum (--set): input" in message(path, "training.momentum=7")
    assert load_config(path, ["models.new.kind=bdt", "models.new.iterations=3"]).models["new"].iterations == 3
    assert load_config(path, ["models.new.iterations=3", "models.new.kind=bdt"]).models["new"].iterations == 3
    path.write_text(TEXT.replace("label: HT,", "label: HT, bins: 0,"))
    assert "plots.ht.bins (line 14)" in message(path, "seed=4")


def test_a_name_of_no_file_is_not_like_every_name_that_ends_alike(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, message in (
        ("nofile.yaml", "There are: "),
        ("tht.yaml", "Did you mean 'tth.yaml'?"),
        ("tht", "'tth.yaml'?"),
    ):
        with pytest.raises(ConfigError) as refused:
            find_config(name)
        assert message in str(refused.value)
        assert ("Did you mean" in str(refused.value)) == (name != "nofile.yaml")


@pytest.mark.parametrize("name", ["secret", "link.yaml"])
def test_no_other_file_is_shown_through_an_include(path: Path, name: str) -> None:
    secret = path.parent / "secret"
    secret.write_text("root:$6$abc:19000:0:99999:7:::\n")
    (path.parent / "link.yaml").symlink_to(secret)
    path.write_text(f"include: {name}\n{TEXT}")
    text = message(path)
    assert "is not the name of an analysis file" in text
    assert "$6$" not in text


def test_all_problems_are_told_at_once(path: Path) -> None:
    text = message(path, "training.epochz=3", "luminosity=-1", "models.bdt.libary=sklearn")
    assert "3 problems" in text
    assert "training.epochz" in text
    assert "luminosity" in text
    assert "models.bdt.libary" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT + "name: again\n", "line 21: name is given twice (first in line 1)"),
        (TEXT + "training:\n\tepochs: 5\n", "Tabs are not allowed"),
        (TEXT.replace("ht: sum", "1: sum"), "the key '1' is not text"),
        ("name: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: &a [*a]", "an alias contains itself"),
        ("[" * 3000, "nested too deeply"),
        ("a: [1", "not valid YAML: line"),
        ("just words", "holds no mapping"),
        ("name: a\nkind: b\0c", "not valid YAML: line 2 holds the character U+0000"),
        ("name: a\x07", "not valid YAML: line 1 holds the character U+0007"),
        ("", "holds no mapping"),
        ("a: 1\n---\nb: 2", "but found another document"),
    ],
)
def test_yaml_that_is_refused(path: Path, text: str, expected: str) -> None:
    path.write_text(text)
    assert expected in message(path)


@pytest.mark.parametrize("merge", [False, True])
def test_billion_laughs_is_refused(path: Path, merge: bool) -> None:
    lines = ["a0: &a0 {x: 1}" if merge else "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 30):
        copies = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} " + (f"{{<<: [{copies}]}}" if merge else f"[{copies}]"))
    path.write_text("\n".join(lines))
    assert "aliases expand to more than" in message(path)


def including(path: Path, text: str) -> Path:
    """A file beside that of `path` which says `text`."""
    file = path.parent / "more.yaml"
    file.write_text(text)
    return file


def test_an_included_file_is_the_start(path: Path) -> None:
    text = """\
include: small.yaml
luminosity: 30
features: [n_jets]
samples: {data: null, ttjets: {cross_section: 831}, more: {files: more.root, class: signal, domain: simulation}}
plots: {ht: null}
models:
  dann: {domain: {strength: 5, method: pivot}}
  bdt: null
  mixture: {kind: network, train_on: [ttH, ttjets, alt], training: {patience: null}}
"""
    base, config = load_config(path), load_config(including(path, text))
    assert (config.luminosity, config.features, config.seed) == (30.0, ("n_jets",), 4)
    assert list(config.samples) == ["ttH", "ttjets", "alt", "third", "more"]
    assert config.samples["ttjets"].cross_section == 831
    assert config.samples["ttjets"].files == base.samples["ttjets"].files
    assert config.samples["more"].files == (str(path.parent / "more.root"),)
    assert config.plots == {} and list(config.models) == ["network", "dann", "mixture"]
    dann, old, mixture = config.models["dann"], base.models["dann"], config.models["mixture"]
    assert isinstance(dann, NetworkConfig) and isinstance(old, NetworkConfig) and isinstance(mixture, NetworkConfig)
    assert dann.domain is not None and old.domain is not None
    assert dann.domain == old.domain.model_copy(update={"strength": 5.0, "method": "pivot"})
    assert mixture.training.patience is None and dann.training.patience == 8  # null is a value outside lists of names
    again = load_config(including(path, text), ["models.dann.domain.strength=7"])
    assert isinstance(again.models["dann"], NetworkConfig) and again.models["dann"].domain is not None
    assert again.models["dann"].domain.strength == 7.0
    resolved = path.parent / "resolved.yaml"
    resolved.write_text(resolved_yaml(config))
    assert load_config(resolved) == config


def test_files_of_an_included_file_are_beside_that_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    first, second = tmp_path / "deep" / "first.yaml", tmp_path / "deep" / "er" / "second.yaml"
    first.write_text("include: ../configs/small.yaml\nname: first\n")
    second.write_text("include: ../first.yaml\nsamples: {alt: {files: own.root}}\n")
    config = load_config(second)
    assert config.name == "first"
    assert config.samples["ttjets"].files == tuple(str(path.parent / f) for f in ("a.root", "b.root"))
    assert config.samples["alt"].files == (str(second.parent / "own.root"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("include: smal.yaml", "more.yaml: include (line 1): there is no file"),
        ("include: smal.yaml", "Did you mean 'small.yaml'?"),
        ("include: [small.yaml]", "must be the path of one analysis file, not ['small.yaml']"),
        ("include: more.yaml", "include each other in a circle (more.yaml -> more.yaml)"),
        ("include: circle.yaml", "in a circle (more.yaml -> circle.yaml -> more.yaml)"),
        ("include: small.yaml\nmodels: {bdtt: null}", "models.bdtt (line 2): null removes a name, and the included"),
        ("include: small.yaml\nmodels: {bdtt: null}", "Did you mean 'bdt'?"),
        (
            "include: small.yaml\nmodels: {dann: {domain: {strenght: 2}}}",
            "dann.domain.strenght (line 2): unknown",
        ),
        ("include: small.yaml\nsamples: {third: null}\nluminosity: -1", "luminosity (line 3): input should be greater"),
        (
            "include: small.yaml\nsamples: {alt: null}",
            "domain.target (line 17 of small.yaml): 'alt' is not a",
        ),
        ("include: small.yaml\ntraining: {seed: 5}\nseed: 6", "seed (line 3): differs from training.seed"),
        ("include: small.yaml\ntraining: null", "training (line 2): must have keys, not None"),
    ],
)
def test_each_mistake_of_an_include_has_its_message(path: Path, text: str, expected: str) -> None:
    (path.parent / "circle.yaml").write_text("include: more.yaml")
    assert expected in message(including(path, text))


def test_a_method_may_leave_keys_without_effect() -> None:
    domain = DomainConfig(source=("a",), target=("b",), input="score", head=(32,), strength=3.0)
    assert model_checks.without_effect(domain) == []
    assert model_checks.without_effect(domain, "disco") == ["input", "head"]
    assert model_checks.without_effect(domain, "wasserstein,coral") == ["input"]
    assert model_checks.without_effect(domain, "none") == []


def test_not_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00name")
    assert "cannot be read" in message(path)


def test_yaml_words_are_words(path: Path) -> None:
    path.write_text(TEXT + "luminosity_label: no\n")
    assert load_config(path).luminosity_label == "no"


def test_schema_names_every_section(path: Path) -> None:
    schema = json.loads(json.dumps(json_schema()))["allOf"][0]["then"]
    assert {"include", *yaml.safe_load(resolved_yaml(load_config(path)))} == set(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    schema_of_files = json.loads(json.dumps(json_schema()))
    Draft202012Validator.check_schema(schema_of_files)
    return Draft202012Validator(schema_of_files)


def errors(schema: Draft202012Validator, text: str) -> list[str]:
    return [error.message for error in schema.iter_errors(parse(text, "text")[0])]


CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_config_of_the_project_fits_the_schema(
    schema: Draft202012Validator, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPDA_DATA", str(tmp_path))  # files are named, not opened
    assert errors(schema, file.read_text()) == []
    config = load_any(file)  # with all that it includes and every default
    assert errors(schema, resolved_yaml(config)) == []


def test_every_key_of_the_schema_is_described(schema: Draft202012Validator) -> None:
    def properties(node: object) -> Iterator[tuple[str, dict[str, object]]]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "properties":
                    yield from value.items()
                if key != "if":  # which only asks of which kind a file is
                    yield from properties(value)
        elif isinstance(node, list):
            for value in node:
                yield from properties(value)

    descriptions = list(properties(schema.schema))
    assert len(descriptions) > 289
    assert [name for name, about in descriptions if not about.get("description")] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cross_section: 98", "cros_section: 98"),
        ("files: third.root", "files: 3"),
        ("files: third.root", "files: []"),
        ("weight: 1", "weight: [1]"),
        ("target: alt", "target: 5"),
        ("name: small", "nam: small"),
        ("features: [ht, n_jets]", ""),
        ("name: small", "include: other.yaml\nnam: small"),
        ("encoder: [16]", "encoder: [0]"),
        ("kind: bdt", "kind: bdtt"),
    ],
)
def test_the_schema_still_refuses_mistakes(schema: Draft202012Validator, old: str, new: str) -> None:
    assert errors(schema, TEXT) == []
    assert errors(schema, TEXT.replace(old, new)) != []


def test_a_file_with_an_include_may_leave_out_and_take_away(schema: Draft202012Validator) -> None:
    assert (
        errors(schema, "include: tth.yaml\nsamples: {ttH: null, ttjets: {cross_section: 3}}\nmodels: {bdt: {l2: 1}}")
        == []
    )
    assert (
        errors(schema, "include: noise.yaml\nsplit: {unlabelled: 0.5}\nmodels: {plain: null, dann: {dropout: 0.1}}")
        == []
    )
    assert errors(schema, "luminosity: 3\nmodels: {bdt: null}") != []


def test_validate_takes_a_mapping() -> None:
    assert isinstance(validate(yaml.safe_load(TEXT.replace("1e-3", "1.0e-3"))), AnalysisConfig)


def test_import_is_light() -> None:
    heavy = "('torch', 'numpy', 'pandas', 'awkward')"
    code = f"import hepda.config, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_choices_are_those_of_the_core() -> None:
    from hepda.adversarial.methods import METHODS
    from hepda.adversarial.networks.layers import ACTIVATIONS
    from hepda.adversarial.networks.schedules import RATE_SCHEDULES, STRENGTH_SCHEDULES
    from hepda.adversarial.training.optimizers import OPTIMIZERS
    from hepda.adversarial.training.selection import SCORERS
    from hepda.config.models import Scorer

    sections = json_schema()["$defs"]

    def choices(section: str, key: str) -> set[str]:
        return set(sections[section]["properties"][key]["enum"])

    assert choices("TrainingConfig", "optimizer") <= set(OPTIMIZERS)
    assert choices("TrainingConfig", "schedule") <= set(RATE_SCHEDULES)
    assert choices("DomainConfig", "schedule") <= set(STRENGTH_SCHEDULES)
    assert choices("NetworkConfig", "activation") <= set(ACTIVATIONS)
    assert list(SCORERS) == list(get_args(Scorer))
    description = sections["DomainConfig"]["properties"]["method"]["description"]
    assert [name for name in METHODS if name not in description] == ["contrast"]  # two classes are too few for it


@pytest.mark.parametrize(("earlier", "combine"), [("true", "projection"), ("false", "sum")])
def test_the_earlier_key_of_run_directories_is_read(path: Path, earlier: str, combine: str) -> None:
    path.write_text(TEXT.replace("warmup: 2", f"self_correction: {earlier}"))
    domain = load_config(path).models["dann"].domain  # type: ignore[union-attr]
    assert domain is not None and domain.combine == combine
    path.write_text(TEXT.replace("warmup: 2", "self_correction: yes please"))
    assert "self_correction" in message(path)
