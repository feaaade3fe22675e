"""A training of speech: takes to rows, a network of the core fitted to them, and what it makes of every trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hepda import jobs
from hepda.adversarial import Head, Network, Reversal, Rows, Trainer, mlp, seeded
from hepda.adversarial.checkpoint import read_checkpoint
from hepda.adversarial.registry import Adversary, build
from hepda.adversarial.selftraining import PseudoLabels
from hepda.adversarial.terms import Term
from hepda.config import SpeechConfig, SpeechModelConfig
from hepda.jobs import Left
from hepda.speech.audio import on_tape
from hepda.speech.bank import Bank, Levels, Takes, blanked, noisy, window_of
from hepda.speech.decoding import log_priors
from hepda.speech.encoders import Convolutional, FeedForward, Recurrent
from hepda.speech.hmm import graph_of
from hepda.speech.material import Material, aligner_frames, read_aligner, read_material
from hepda.speech.parts import Hearing, context_of, every, extractor_of, folds, heard, parts_of, subset
from hepda.speech.probing import asked, probed
from hepda.speech.trials import Listener, Trial, trial_tape, trials_of

if TYPE_CHECKING:
    from hepda.adversarial import History
    from hepda.config.speech import SpeechDomainConfig
    from hepda.speech.senones import Aligner

DOMAIN = "domain"
STRONG = (16, 16)
"""Bands and steps that are blanked at most in the second view of an unlabelled window."""
_VALIDATION_SNR = (0.0, 10.0)
_PROBE_SNR = 5.0


@dataclass(frozen=True, slots=True)
class Job(jobs.Job):
    """The training of a model of speech; `table` is a folder of `write_material` and aligners, one a fold."""

    config: SpeechConfig

    def train(self, progress: Callable[[int, int], None]) -> Left:
        """Fit, test, probe; leaves the network in `folder`."""
        torch.manual_seed(self.seed)
        lesson = Lesson.of(self)
        try:
            history = lesson.fit(lambda h: progress(h.epochs, lesson.section.training.epochs))
        finally:
            lesson.bank.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        lesson.network.save(self.folder / f"{self.stem}.safetensors")
        about = {
            **history.about(),
            "noises": [lesson.material.noises.names[number] for number in lesson.noises],
            **lesson.chosen_by(),
            **lesson.probes(),
        }
        return lesson.tests(), about, history.to_dict()["columns"]


def jobs_of(config: SpeechConfig, material: Material, table: Path, run: Path, work: Path, device: str) -> list[Job]:
    """All trainings, seed by seed, so that an interrupted run has whole pairs."""
    return [
        Job(config, model, fold, member, table, run, work, device, "plain")
        for member in range(config.seeds)
        for fold in range(folds(config, material.corpus))
        for model in config.models
    ]


@dataclass(slots=True)
class Lesson:
    """What a job trains on, and its network."""

    job: Job
    section: SpeechModelConfig
    material: Material
    aligner: Aligner
    noises: tuple[int, ...]
    bank: Bank
    source: Rows
    target: Rows | None
    network: Network

    @classmethod
    def of(cls, job: Job) -> Lesson:
        """Takes, frames and rows of a job, and the network that it begins with."""
        config, section = job.config, job.config.models[job.model]
        material = read_material(job.table)
        aligner = read_aligner(job.table / f"aligner-fold{job.fold}.safetensors")
        noises = subset(material, section.noises, job.seed)
        takes, rooms, labelled = takes_of(job, section, material, noises)
        extractor = extractor_of(config, config.voice.tracts if section.voice else (1.0,))
        masks = config.voice.masks if section.voice else (0, 0)
        levels = Levels(*config.noise.snr)
        bank = Bank(takes, material.noises.train, levels, extractor, context_of(config), job.seed, masks)
        source, target = rows_of(job, section, aligner, bank, rooms, labelled, noises, material.corpus.words)
        network = network_of(job, section, aligner, extractor.width, classes_of(section, material, noises))
        return cls(job, section, material, aligner, noises, bank, source, target, network)

    def fit(self, on_epoch: Callable[[History], None]) -> History:
        """Train; goes on from the checkpoint of an interrupted training."""
        job, settings, domain = self.job, self.section.training, self.section.domain
        adapts = domain is not None and self.target is not None
        trainer = Trainer(
            **settings.settings(),
            target_size=domain.target_size(settings.batch_size) if domain is not None and adapts else None,
            projection=domain is not None and adapts and domain.self_correction,
            seed=job.seed,
            device=job.device,
            kernels=job.kernels,
        )
        checkpoint = job.work / f"{job.name}.checkpoint"

        def turned(history: History) -> None:
            if history.epochs < settings.epochs:
                self.bank.turn(history.epochs)
            on_epoch(history)

        if checkpoint.is_file():
            self.bank.turn(len(read_checkpoint(checkpoint)[1]["history"]["columns"]["seconds"]))
        return trainer.fit(self.network, self.source, self.target, checkpoint=checkpoint, resume=True, on_epoch=turned)

    def listener(self) -> Listener:
        """The trained network with its decoder."""
        config, corpus = self.job.config, self.material.corpus
        loop = config.evaluation.grammar == "loop"
        cost = config.evaluation.insertion if loop else 0.0
        words = range(len(corpus.vocabulary))
        graph = graph_of(self.aligner.lexicon, self.aligner.stay, words, loop=loop, cost=cost)
        senone = torch.as_tensor(self.source.targets["senone"])
        priors = log_priors(senone, self.aligner.lexicon.senones)
        return Listener(self.network, extractor_of(config), context_of(config), priors, graph, corpus.vocabulary)

    def tests(self) -> NDArray[np.float32]:
        """All trials of the fold's test utterances, [trials * u, 3] as `Listener.judge` gives them."""
        config, material = self.job.config, self.material
        corpus = material.corpus.select(parts_of(config, material.corpus, self.job.fold, self.job.seed).test)
        senone = self.aligner.align(aligner_frames(config, corpus.tape)[0], corpus.words)
        listener, found = self.listener(), []
        for number, trial in enumerate(trials_of(config, material, len(corpus))):
            tape = trial_tape(trial, number, material, corpus.tape, config.seed)
            found.append(listener.judge(tape, corpus.speaker, corpus.words, senone))
        return np.concatenate(found)

    def chosen_by(self) -> dict[str, Any]:
        """Word error rate on validation recordings in the noises of this training: what strengths are chosen by."""
        config, material = self.job.config, self.material
        corpus = material.corpus.select(parts_of(config, material.corpus, self.job.fold, self.job.seed).validation)
        listener, wrong, said = self.listener(), 0.0, 0.0
        senone = self.aligner.align(aligner_frames(config, corpus.tape)[0], corpus.words)
        seen = replace(material, seen=self.noises, noises=replace(material.noises, test=material.noises.train))
        random = np.random.default_rng(self.job.seed)
        for number, snr in enumerate(_VALIDATION_SNR):
            kinds = torch.from_numpy(random.choice(np.array(self.noises), len(corpus)))
            trial = Trial("validation", kinds, snr, torch.full((len(corpus),), -1))
            tape = trial_tape(trial, number, seen, corpus.tape, self.job.seed)
            judged = listener.judge(tape, corpus.speaker, corpus.words, senone)
            wrong, said = wrong + float(judged[:, 0].sum()), said + sum(len(words) for words in corpus.words)
        return {"validation_word_error_rate": wrong / said}

    def probes(self) -> dict[str, Any]:
        """Fresh networks that tell noises (and noise from none) by the embedding, and the head of the training.

        They hear the validation recordings at 5 dB in stretches that no training heard: even ones to learn by, odd
        ones to be asked.
        """
        config, material, most = self.job.config, self.material, self.job.config.evaluation.probe
        if not most:
            return {}
        corpus = material.corpus.select(parts_of(config, material.corpus, self.job.fold, self.job.seed).validation)
        random = np.random.default_rng(self.job.seed + 1)
        copies = 8
        numbers = torch.arange(len(corpus)).repeat(copies)
        kinds = torch.from_numpy(random.choice([-1, *self.noises], len(numbers)))
        tape = corpus.tape.select(numbers)
        generator = torch.Generator().manual_seed(self.job.seed)
        takes = Takes(tape, corpus.speaker[numbers], kinds, numbers, tape)
        sound = noisy(takes, material.noises.test, torch.full((len(numbers),), _PROBE_SNR), generator)
        frames = extractor_of(config)(sound, takes.speaker)
        chosen = torch.from_numpy(np.sort(random.permutation(len(frames))[: 2 * most]))
        windows = window_of(frames, context_of(config), chosen)
        embedding = self.network.embed(windows, domain="target")
        utterance = frames.utterance[chosen]
        test = (numbers[utterance] % 2 == 1).numpy()
        kind = kinds[utterance].numpy()
        labels = {"noise": np.searchsorted(np.array([-1, *self.noises]), kind), "pair": (kind >= 0).astype(np.int64)}
        found: dict[str, Any] = {}
        for name, label in labels.items():
            if len(np.unique(label[~test])) > 1:
                probe, _ = probed(embedding, label, numbers[utterance].numpy(), test, seed=self.job.seed)
                found[name] = probe.to_dict()
        return {
            "probes": found,
            **self._head(windows[torch.from_numpy(test)], labels, numbers[utterance].numpy(), test),
        }

    def _head(
        self, windows: Tensor, labels: dict[str, Any], utterance: NDArray[Any], test: NDArray[Any]
    ) -> dict[str, Any]:
        """The accuracy of the training's own domain head on the frames that the probes are asked."""
        domain = self.section.domain
        what = None if domain is None else {"target": "pair"}.get(domain.of, domain.of)
        if what not in labels or DOMAIN not in self.network.heads:
            return {}
        output = self.network.predict(windows, DOMAIN, raw=True, domain="target")
        answers = output.argmax(axis=1) if output.ndim == 2 else (output > 0.0).astype(np.int64)
        label = labels[what][test]
        return {"head": {"of": what, **asked(answers == label, label, utterance[test], self.job.seed).to_dict()}}


# ---- what a network is trained on ----


def takes_of(
    job: Job, section: SpeechModelConfig, material: Material, noises: tuple[int, ...]
) -> tuple[Takes, Tensor, int]:
    """All takes of a job, the labelled ones first; the room of each; and how many are labelled."""
    config, copies = job.config, section.training.copies
    parts = parts_of(config, material.corpus, job.fold, job.seed)
    speeds = config.voice.speeds if section.voice else (1.0,)
    clean = Hearing(copies, speeds)
    noise = replace(clean, noises=noises, clean=config.noise.clean)
    if config.rooms is not None:
        noise = replace(noise, rooms=material.seen_rooms, room_share=config.rooms.share)
    wanted = {"clean": (parts.labelled, clean), "noisy": (parts.labelled, noise), "target": (parts.unlabelled, noise)}
    heard_parts = [
        heard(material, *wanted[part], job.seed + 11 * number) for number, part in enumerate(section.train_on)
    ]
    labelled = sum(len(takes) for takes, _ in heard_parts)
    if section.domain is not None and section.domain.of == "target":
        heard_parts.append(heard(material, parts.unlabelled, noise, job.seed + 99))
    return joined([takes for takes, _ in heard_parts]), torch.cat([rooms for _, rooms in heard_parts]), labelled


def joined(parts: list[Takes]) -> Takes:
    """Several takes as one."""
    if len(parts) == 1:
        return parts[0]
    tapes = {}
    for name in ("tape", "dry"):
        every_one = [getattr(part, name) for part in parts]
        utterances = [tape.utterance(number) for tape in every_one for number in range(len(tape))]
        tapes[name] = on_tape(utterances, every_one[0].rate)
    fields = {name: torch.cat([getattr(part, name) for part in parts]) for name in ("speaker", "noise", "recording")}
    return Takes(tape=tapes["tape"], dry=tapes["dry"], **fields)


def rows_of(
    job: Job,
    section: SpeechModelConfig,
    aligner: Aligner,
    bank: Bank,
    rooms: Tensor,
    labelled: int,
    noises: tuple[int, ...],
    words: tuple[tuple[int, ...], ...],
) -> tuple[Rows, Rows | None]:
    """Rows of the core: numbers of frames, which `bank.windows` turns into features, and what the heads are told."""
    takes, frames = bank.takes, bank.frames
    said = [words[number] for number in takes.recording[:labelled].tolist()]
    dry = on_tape([takes.dry.utterance(number) for number in range(labelled)], takes.dry.rate)
    senone = aligner.align(aligner_frames(job.config, dry)[0], said)
    begin = len(senone)
    chosen = every(frames.count, section.training.every)
    source, target = chosen[chosen < begin], chosen[chosen >= begin]
    targets: dict[str, Any] = {"senone": senone[source]}
    domain = section.domain
    if domain is not None and domain.of != "target" and domain.alpha:
        told = domain_labels(domain.of, takes.noise, rooms, noises)
        targets[DOMAIN] = told[frames.utterance[source]]
    rows = Rows(source.float()[:, None], targets, transform=bank.windows)
    return rows, Rows(target.float()[:, None], transform=bank.windows) if len(target) else None


def domain_labels(of: str, noise: Tensor, room: Tensor, noises: tuple[int, ...]) -> Tensor:
    """What a domain head is told of each take, int64 [u]: 0 is no noise (or no room), others from 1 on."""
    if of == "pair":
        return (noise >= 0).long()
    if of == "noise":
        return torch.searchsorted(torch.tensor([-1, *noises]), noise)
    return room + 1


def classes_of(section: SpeechModelConfig, material: Material, noises: tuple[int, ...]) -> int:
    """Classes of the domain head."""
    of = None if section.domain is None else section.domain.of
    return {"noise": len(noises) + 1, "room": len(material.rooms) + 1}.get(of or "", 2)


def network_of(job: Job, section: SpeechModelConfig, aligner: Aligner, width: int, classes: int) -> Network:
    """Encoder, senone head and, where the model has a domain, its head or terms."""
    steps, senones = job.config.frames.context.steps, aligner.lexicon.senones
    with seeded(job.seed):
        encoder, features = encoder_of(section, steps, width, context_of(job.config).middle)
        heads = [Head("senone", mlp(features, section.senone_head, senones), loss="multiclass")]
        domain = section.domain
        terms: list[Term] = []
        if domain is not None and domain.of == "target":
            told = Adversary(features, senones, "senone", transform=partial(blanked, most=STRONG), **domain.settings())
            more, terms = build(domain.method, told)
            heads += more
            for term in terms:
                if isinstance(term, PseudoLabels):
                    term.threshold = domain.threshold
        elif domain is not None and domain.alpha:
            heads.append(_told_head(domain.alpha, domain, features, classes))
    metadata = {"model": job.model, "fold": job.fold, "member": job.member, "names": aligner.lexicon.names()}
    return Network(encoder, heads, terms=terms, normalization=None, metadata=metadata)


def _told_head(alpha: float, domain: SpeechDomainConfig, features: int, classes: int) -> Head:
    """A head that is told the noise or the room: reversed with alpha above 0, a second task below."""
    return Head(
        DOMAIN,
        mlp(features, domain.head, classes),
        loss="multiclass",
        scale=1.0 if alpha > 0.0 else -alpha,
        reversal=Reversal(alpha, domain.schedule, domain.warmup) if alpha > 0.0 else None,
        rate=domain.learning_rate_factor,
        smoothing=domain.smoothing,
    )


def encoder_of(section: SpeechModelConfig, steps: int, width: int, middle: int) -> tuple[nn.Module, int]:
    """The encoder of a model and the width of its output; middle: the step that is the frame itself."""
    if section.encoder == "feedforward":
        return FeedForward(steps, width, section.layers, section.dropout), section.layers[-1]
    if section.encoder == "recurrent":
        return Recurrent(steps, width, section.features, middle), section.features
    return Convolutional(steps, width, section.channels, section.features, section.dropout), section.features
