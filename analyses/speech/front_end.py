"""Enhancement as a front end of a recogniser: word errors with and without it, on the same test utterances.

    hepda train --config speech_noise.yaml
    hepda train --config enhance.yaml
    python analyses/speech/front_end.py runs/speech_noise runs/enhance

The recogniser is used as it was trained, on noisy speech or on clean speech; it is not trained on enhanced speech. The
difference is paired by utterance; its interval is that of a bootstrap over speakers and their utterances.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hepda.adversarial import Network
from hepda.config import EnhancementConfig, SpeechConfig, load_any
from hepda.errors import ConfigError
from hepda.speech.dataset.subsets import parts_of
from hepda.speech.dataset.trials import trial_tape, trials_of
from hepda.speech.enhancement.models import Enhancer, enhancer_of, read_network
from hepda.speech.kind import SpeechKind
from hepda.speech.recognition.decoding import Rate, over_speakers
from hepda.speech.sounds.audio import Tape, on_tape
from hepda.speech.training.jobs import TrainingSetup

MEMBER = 0


@dataclass(frozen=True, slots=True)
class Errors:
    """Word error rates of a model under a condition: as it is, with enhancement, and the difference."""

    model: str
    condition: str
    without: Rate
    enhanced: Rate
    difference: Rate

    def line(self) -> str:
        """Return a row of the table, in percent."""
        rates = (self.without, self.enhanced, self.difference)
        texts = [
            f"{100 * rate.value:{sign}.1f} ({100 * (rate.low or 0):{sign}.1f} to {100 * (rate.high or 0):{sign}.1f})"
            for rate, sign in zip(rates, ("", "", "+"), strict=True)
        ]
        return f"| {self.model} | {self.condition} | {' | '.join(texts)} |"


def enhanced_tape(tape: Tape, enhance: Enhancer) -> Tape:
    """Return the utterances of a tape after the enhancement."""
    utterances = [tape.utterance(number) for number in range(len(tape))]
    return on_tape([enhance(noisy, noisy) for noisy in utterances], tape.rate)


def measured(run: Path, config: SpeechConfig, enhance: Enhancer, ratio: float) -> Iterator[Errors]:
    """Yield the errors of every network of a run of recognition, in clean speech and at a ratio of speech to noise.

    Args:
        run: the run of recognition.
        config: its analysis.
        enhance: the enhancement.
        ratio: in dB, one of `evaluation.snr`.

    """
    kind = SpeechKind(config)
    kind.load(lambda *step: None)
    material = kind.material
    with tempfile.TemporaryDirectory() as work:
        jobs = [job for job in kind.jobs(run, Path(work), "cpu") if job.member == MEMBER]
        for job in jobs:
            setup = TrainingSetup.of(job)
            setup.bank.close()
            path = job.folder / f"{job.stem}.safetensors"
            setup.network = Network.load(path, encoder=setup.network.encoder)
            test = parts_of(config, material.corpus, job.fold).test
            corpus, listener = material.corpus.select(test), setup.listener()
            senone = setup.alignment.of(test)
            found: dict[str, list[np.ndarray]] = {}
            for number, trial in enumerate(trials_of(config, material, len(corpus))):
                if trial.snr not in (ratio, float("inf")) or bool((trial.room >= 0).any()):
                    continue
                noisy = trial_tape(trial, number, material, corpus.tape, config.seed)
                both = [
                    listener.evaluate(tape, corpus.speaker, corpus.words, senone)[:, 0]
                    for tape in (noisy, enhanced_tape(noisy, enhance))
                ]
                name = trial.condition if np.isinf(trial.snr) else f"{trial.condition}, {trial.snr:g} dB"
                found.setdefault(name, []).append(np.stack(both))
            for condition, wrong in found.items():
                yield _errors(job.model, condition, np.concatenate(wrong, axis=1), corpus.words, corpus.speaker)


def _errors(
    model: str, condition: str, wrong: np.ndarray, words: Sequence[Sequence[int]], speaker: torch.Tensor
) -> Errors:
    """Return the rates of wrong words [2, utterances]; utterances are repeated as often as they were tested."""
    repeats = wrong.shape[1] // len(words)
    said = np.tile([float(len(of)) for of in words], repeats)
    who = np.tile(speaker.numpy(), repeats)
    without, enhanced = (over_speakers(of, said, who, seed=1) for of in wrong)
    return Errors(model, condition, without, enhanced, over_speakers(wrong[1] - wrong[0], said, who, seed=1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recognition", type=Path, help="run directory of kind: speech")
    parser.add_argument("enhancement", type=Path, help="run directory of kind: enhancement")
    parser.add_argument("--model", help="model of the enhancement [the first network]")
    parser.add_argument("--ratio", type=float, default=0.0, help="of speech to noise, in dB")
    options = parser.parse_args(arguments)
    speech, enhancement = (load_any(run / "config.yaml") for run in (options.recognition, options.enhancement))
    if not isinstance(speech, SpeechConfig) or not isinstance(enhancement, EnhancementConfig):
        raise ConfigError("give a run of `kind: speech` and one of `kind: enhancement`, in this order.")
    if speech.speech.rate != enhancement.rate:
        raise ConfigError(f"the runs have different rates, {speech.speech.rate} and {enhancement.rate} Hz.")
    model = options.model or next(iter(enhancement.networks))
    enhance = enhancer_of(enhancement, model, read_network(enhancement, options.enhancement, model, MEMBER))
    print(f"Enhancement: {model}. Word errors in %, 95 % intervals over speakers and utterances.\n")
    print("| recogniser | condition | as it is | enhanced | difference |\n|---|---|---|---|---|")
    for errors in measured(options.recognition, speech, enhance, options.ratio):
        print(errors.line(), flush=True)


if __name__ == "__main__":
    main()
