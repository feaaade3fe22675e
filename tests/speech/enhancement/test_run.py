"""A whole run of enhancement, from the analysis file to the report and to other recordings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hepda.cli import main
from hepda.config import load_any
from hepda.errors import ConfigError
from hepda.kinds import kind_of
from hepda.report.sounds import shown
from hepda.results.enhancement import EnhancementMetrics
from hepda.runtime.plots import PlotOptions, Plots
from hepda.speech.enhancement.networks import MaskNetwork
from hepda.speech.quality.signals import si_sdr
from hepda.workflows import compare, train
from tests.reports import assert_no_table_is_empty
from tests.speech.enhancement.analysis import small
from tests.speech.test_run import Quiet


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EnhancementMetrics]:
    folder = tmp_path_factory.mktemp("enhancement")
    outcome = train.train(small(), folder / "run", PlotOptions(Plots.ALL, folder / "plots"), Quiet())
    assert isinstance(outcome.metrics, EnhancementMetrics)
    return folder / "run", outcome.metrics


def test_a_run_leaves_what_every_run_leaves(run: tuple[Path, EnhancementMetrics]) -> None:
    folder, metrics = run
    for name in train.FILES:
        assert (folder / name).is_file(), name
    page = (folder / "report.html").read_text()
    for text in (
        "Quality of the enhanced speech",
        "Gain over the noisy speech",
        "Difference to noisy",
        "Wiener filter",
    ):
        assert text in page
    assert json.dumps(metrics.to_json(), allow_nan=False)
    assert {path.name for path in (folder / "plots").glob("*.png")} >= {"quality.png", "spectrograms.png"}
    assert_no_table_is_empty(folder, kind_of(load_any(folder / "config.yaml")))


def test_the_report_has_the_sounds(run: tuple[Path, EnhancementMetrics]) -> None:
    folder, _ = run
    heard = shown(folder)
    assert [sound.title for sound in heard] == ["noisy", "Wiener filter", "ideal", "plain", "judged", "clean"]
    assert {sound.group for sound in heard} == {"tones-2 in brown, 0 dB"}
    kind = kind_of(load_any(folder / "config.yaml"))
    kind.load(Quiet().step)
    test = kind.sounds.test  # type: ignore[attr-defined]
    clean, rate = soundfile.read(heard[-1].file, dtype="float32")
    expected = test.clean.utterance(3).numpy()  # the first string at the lower ratio
    np.testing.assert_allclose(clean, expected / max(1.0, heard[-1].peak), atol=1e-4)
    assert rate == 8000 and heard[-1].seconds == pytest.approx(len(clean) / rate)
    assert (folder / "report.html").read_text().count("<audio controls") == len(heard)
    heard[0].file.rename(folder / "moved.wav")  # what is missing is left out
    train.write_page(load_any(folder / "config.yaml"), kind, folder)
    assert (folder / "report.html").read_text().count("<audio controls") == len(heard) - 1
    (folder / "moved.wav").rename(heard[0].file)


def test_the_numbers_are_those_of_the_sounds(run: tuple[Path, EnhancementMetrics]) -> None:
    folder, metrics = run
    kind = kind_of(load_any(folder / "config.yaml"))
    kind.load(Quiet().step)
    test = kind.sounds.test  # type: ignore[attr-defined]
    network = MaskNetwork.load(folder / "models" / "plain" / "fold0-member1.safetensors")
    of_network, of_noisy = [], []
    for row in range(len(test)):
        clean, noisy = test.clean.utterance(row), test.noisy.utterance(row)
        with torch.no_grad():
            sound = network.enhanced(noisy[None])[0]
        of_network.append(si_sdr(clean.numpy(), sound.numpy()))
        of_noisy.append(si_sdr(clean.numpy(), noisy.numpy()))
    assert metrics.models["plain"].seeds["si_sdr"][1] == pytest.approx(np.mean(of_network), abs=1e-3)
    noisy_quality = metrics.models["noisy"].quality["si_sdr"]
    assert noisy_quality["all"].value == pytest.approx(np.mean(of_noisy), abs=1e-4)
    assert noisy_quality["10 dB"].value == pytest.approx(10.0, abs=0.1)
    ideal, plain = metrics.models["ideal"], metrics.models["plain"]
    assert ideal.gain["si_sdr"]["0 dB"].value > 5.0 and "gain" not in metrics.models["noisy"].model_fields_set
    expected = plain.quality["si_sdr"]["all"].value - noisy_quality["all"].value
    assert plain.gain["si_sdr"]["all"].value == pytest.approx(expected, abs=1e-6)
    assert metrics.models["judged"].measured == 2 * 2 * 2 * 2 * 4  # seeds, epochs, steps of the judge, sounds, rows


def test_trained_models_are_compared_by_seed_and_filters_by_string(run: tuple[Path, EnhancementMetrics]) -> None:
    folder, metrics = run
    against_noisy = metrics.comparison["plain"]["si_sdr"]["all"]
    assert (against_noisy.paired, against_noisy.number) == ("strings", 3)
    other = small(evaluation={"baseline": "plain"})
    kind = kind_of(other)
    kind.load(Quiet().step)
    from hepda.speech.enhancement.numbers import comparison

    scores = kind.saved_scores(folder)
    of_seeds = comparison(other, kind.sounds, scores)["judged"]["si_sdr"]["all"]  # type: ignore[attr-defined]
    seeds = [np.array(metrics.models[name].seeds["si_sdr"]) for name in ("judged", "plain")]
    assert (of_seeds["paired"], of_seeds["number"]) == ("seeds", 2)
    assert of_seeds["difference"]["value"] == pytest.approx(float((seeds[0] - seeds[1]).mean()), abs=1e-5)


def test_a_value_that_is_missing_is_counted_and_in_no_mean() -> None:
    from hepda.speech.enhancement.numbers import interval, model_numbers

    config = small()
    kind = kind_of(config)
    kind.load(Quiet().step)
    score = np.zeros((1, 6, 2), np.float32)
    score[0, :, 0] = [1, 2, 3, 4, 5, np.nan]
    numbers = model_numbers(config, kind.sounds, score, None)  # type: ignore[attr-defined]
    assert numbers["failed"] == {"segmental_snr": 1, "si_sdr": 0}
    quality = numbers["quality"]["segmental_snr"]
    assert quality["0 dB"]["value"] == pytest.approx(4.5) and quality["10 dB"]["value"] == pytest.approx(2.0)
    assert quality["all"]["value"] == pytest.approx(3.0)  # of the two strings with values at both ratios
    assert interval(np.array([np.nan]), "strings")["value"] is None


def test_evaluation_gives_the_same_numbers_and_runs_are_compared(
    run: tuple[Path, EnhancementMetrics], tmp_path: Path
) -> None:
    folder, metrics = run
    again = train.evaluate(folder, PlotOptions(Plots.NONE), Quiet())
    assert again.metrics == metrics
    copy = shutil.copytree(folder, tmp_path / "copy")
    compare.compare([folder, copy], tmp_path / "page.html")
    assert "SI-SDR" in (tmp_path / "page.html").read_text()


def test_recordings_of_any_rate_are_enhanced(
    run: tuple[Path, EnhancementMetrics], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = run
    random = np.random.default_rng(1)
    sources = {"one.wav": (8000, 1), "deep/two.wav": (22_050, 2)}
    for name, (rate, channels) in sources.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * random.normal(size=(3 * rate + 7, channels)), rate)
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 8000)
    arguments = ["apply", str(folder), str(tmp_path / "in"), str(tmp_path / "silent.wav"), "--model", "plain"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "3 files, 7.0 s of sound" in said and "times real time" in said
    assert "nothing is left of" in said and "silent.wav" in said
    for name, (rate, _) in sources.items():
        info = soundfile.info(tmp_path / "out" / name)
        assert (info.samplerate, info.frames, info.channels) == (rate, 3 * rate + 7, 1)
    noisy, _ = soundfile.read(tmp_path / "in" / "one.wav", dtype="float32")
    enhanced, _ = soundfile.read(tmp_path / "out" / "one.wav", dtype="float32")
    with torch.no_grad():
        expected = MaskNetwork.load(folder / "models" / "plain" / "fold0-member0.safetensors").enhanced(
            torch.from_numpy(noisy)[None]
        )[0]
    np.testing.assert_allclose(enhanced, expected.numpy() / max(1.0, float(expected.abs().max())), atol=2e-4)
    summary = json.loads((tmp_path / "out" / "apply.json").read_text())
    assert summary["model"] == "plain" and [entry["silent"] for entry in summary["files"]] == [False, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nosiy"], "'nosiy' is no model"),
        (["--model", "ideal"], "'ideal' is no model"),
        (["--format", "parquet"], "are for events"),
    ],
)
def test_what_cannot_be_applied_is_told(
    run: tuple[Path, EnhancementMetrics],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    soundfile.write(tmp_path / "one.wav", 0.1 * np.ones(8000), 8000)
    command = ["apply", str(run[0]), str(tmp_path / "one.wav"), "--output", str(tmp_path / "out"), *arguments]
    assert main(command) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"patience": 3}}, r"training\.patience: has no effect"),
        ({"strings": {"recordings": [5, 4]}}, r"strings\.recordings: from 5 to 4"),
        ({"spectra": {"hop": 0.03}}, r"spectra\.hop: 0.03 s is more than half"),
        ({"speech": {"rate": 11_025}, "evaluation": {"metrics": ["covl"]}}, "covl need PESQ, which is defined at 8000"),
        ({"evaluation": {"baseline": "nosy"}}, r"evaluation\.baseline: 'nosy' is not a model"),
        (
            {"models": {"a": {"kind": "mask", "adversary": {"steps": 3}}}, "evaluation": {"baseline": "a"}},
            "no multiple",
        ),
        (
            {"speech": {"rate": 11_025}, "models": {"a": {"kind": "mask"}}, "evaluation": {"baseline": "a"}},
            r"models\.a\.losses\.disturbance: PESQ is not defined at 11025 Hz",
        ),
        (
            {
                "models": {
                    "a": {"kind": "mask", "losses": dict.fromkeys(("complex", "magnitude", "time", "disturbance"), 0)}
                },
                "evaluation": {"baseline": "a"},
            },
            r"models\.a\.losses: all weights are 0",
        ),
    ],
)
def test_an_analysis_that_cannot_be_is_told(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**changes)


@pytest.mark.slow
def test_the_example_without_files_improves_what_it_gets(tmp_path: Path) -> None:
    config = load_any("enhance_tones.yaml", ["seeds=1"])
    outcome = train.train(config, tmp_path / "run", PlotOptions(Plots.NONE), Quiet())
    assert isinstance(outcome.metrics, EnhancementMetrics)
    gain = outcome.metrics.models["network"].gain
    assert gain["si_sdr"]["all"].low > 3.0 and gain["segmental_snr"]["all"].low > 1.0
