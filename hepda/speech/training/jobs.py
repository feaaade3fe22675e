"""Trainings of speech: takes to rows, a network of the core fitted to them, and its results on every trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.adversarial import DomainRows, History, Network, Trainer
from hepda.adversarial.data.sources import ComputedRows
from hepda.adversarial.training.checkpoint import read_checkpoint
from hepda.adversarial.training.selection import find_scorer
from hepda.config import SpeechConfig, SpeechModelConfig
from hepda.runtime import jobs
from hepda.runtime.jobs import TrainingOutput
from hepda.speech.dataset.material import Material, read_aligner, read_alignment, read_material
from hepda.speech.dataset.subsets import (
    TakeChanges,
    context_of,
    every,
    extractor_of,
    folds,
    of_fold,
    parts_of,
    subset,
    takes_from,
)
from hepda.speech.dataset.trials import Listener, Trial, trial_tape, trials_of
from hepda.speech.recognition.decoding import log_priors, scaled
from hepda.speech.recognition.hmm import graph_of
from hepda.speech.recognition.transcripts import transcribed
from hepda.speech.sounds.audio import on_tape
from hepda.speech.sounds.bank import Bank, Levels, Takes, noisy, recorded, roomy, window_of
from hepda.speech.training.networks import DOMAIN, classes_of, network_of
from hepda.speech.training.probes import fit_probe, probe_of

if TYPE_CHECKING:
    from hepda.speech.recognition.senones import Aligner, Alignment

SURE = "sure"
"""Weights of frames: 1 for known words, 1 or 0 for transcripts of the network."""
_VALIDATION_SNR = (0.0, 10.0)
_PROBE_SNR = 5.0
_HELD_OUT = 10  # one of ten recordings is held out if a scorer or patience chooses the epoch


@dataclass(frozen=True, slots=True)
class SpeechJob(jobs.TrainingJob):
    """The training of a model of speech.

    `table` is a folder of `write_material` that also has the aligners, one for each fold.
    """

    config: SpeechConfig = field(kw_only=True)

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Fit, test and probe the network, and save it in `folder`."""
        torch.manual_seed(self.seed)
        setup = TrainingSetup.of(replace(self, config=self.config.for_model(self.model)))
        try:
            history = setup.fit(lambda h: progress(h.epochs, setup.epochs))
        finally:
            setup.bank.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        setup.network.save(self.folder / f"{self.stem}.safetensors")
        about = {
            **history.about(),
            "noises": [setup.material.noises.names[number] for number in setup.noises],
            **setup.chosen_by(),
            **setup.probes(),
            **({"transcripts": setup.transcripts} if setup.transcripts else {}),
        }
        return setup.tests(), about, history.to_dict()["columns"]


def jobs_of(
    config: SpeechConfig, material: Material, table: Path, run: Path, work: Path, device: str
) -> list[SpeechJob]:
    """Return all trainings, seed by seed.

    In this order an interrupted run has complete pairs of trainings with the same seed.
    """
    return [
        SpeechJob(config.seed_for(model), model, fold, member, table, run, work, device, "plain", config=config)
        for member in range(config.seeds)
        for fold in range(folds(config, material.corpus))
        for model in config.networks
    ]


@dataclass(slots=True)
class TrainingSetup:
    """The data of a training, and its network.

    Attributes:
        job: the training.
        section: settings of the model.
        material: utterances, noises and rooms, as the fold of the training uses them.
        aligner: the aligner of the fold.
        alignment: the senones of all utterances.
        noises: types of noise in the training.
        bank: frames of the takes.
        source: rows of the labelled takes.
        target: rows of the unlabelled takes; None without adaptation to them.
        network: the network.
        labelled: number of takes with known words; these are the first ones.
        transcripts: for each round of self-training, the share of the unlabelled takes that was learnt, and the share
            of correct words among them. The latter is reported only; no training uses it.

    """

    job: SpeechJob
    section: SpeechModelConfig
    material: Material
    aligner: Aligner
    alignment: Alignment
    noises: tuple[int, ...]
    bank: Bank
    source: DomainRows
    target: DomainRows | None
    network: Network
    labelled: int
    transcripts: list[dict[str, float]] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """Number of rounds of self-training, after the training of `epochs`."""
        domain = self.section.domain
        return 0 if domain is None else domain.rounds

    @property
    def epochs(self) -> int:
        """Number of epochs of the training and of all rounds together."""
        domain = self.section.domain
        return self.section.training.epochs + (0 if domain is None else domain.rounds * domain.round_epochs)

    @classmethod
    def of(cls, job: SpeechJob) -> TrainingSetup:
        """Prepare the takes, frames and rows of a job, and its initial network."""
        config, section = job.config, job.config.networks[job.model]
        material = of_fold(config, read_material(job.table), job.fold)
        aligner = read_aligner(job.table / f"aligner-fold{job.fold}.safetensors")
        alignment = read_alignment(job.table / f"alignment-fold{job.fold}.safetensors")
        noises = subset(material, section.noises, job.seed)
        takes, rooms, labelled = takes_of(job, section, material, noises)
        extractor = extractor_of(config, config.voice.tracts if section.voice else (1.0,))
        masks = config.voice.masks if section.voice else (0, 0)
        levels = Levels(*config.noise.snr)
        bank = Bank(takes, material.noises.train, levels, extractor, context_of(config), job.seed, masks)
        source, target = rows_of(section, alignment, bank, rooms, labelled, noises)
        network = network_of(job, section, aligner, extractor.width, classes_of(section, material, noises))
        return cls(job, section, material, aligner, alignment, noises, bank, source, target, network, labelled)

    def fit(self, on_epoch: Callable[[History], None]) -> History:
        """Train, then do the rounds of self-training.

        An interrupted training resumes from its checkpoints.
        """
        history = self._fitted(History(), 0, on_epoch)
        for number in range(1, self.rounds + 1):
            self._transcribe(number)
            history = self._fitted(history, number, on_epoch)
        return history

    def _fitted(self, before: History, number: int, on_epoch: Callable[[History], None]) -> History:
        """Do the training (number 0) or a round of self-training; return its history after the history `before`."""
        job, settings, domain = self.job, self.section.training, self.section.domain
        adapts = domain is not None and self.target is not None
        epochs = domain.round_epochs if domain is not None and number else settings.epochs
        chooses = not number and (settings.scorer is not None or settings.patience is not None)
        source, target, validation = self._held_out() if chooses else (self.source, self.target, None)
        trainer = Trainer(
            **(settings.settings(domain if adapts else None) | {"epochs": epochs}),
            patience=(settings.patience or epochs) if chooses else None,
            scorer=find_scorer(settings.scorer) if chooses and settings.scorer is not None else None,
            seed=job.seed + number,
            device=job.device,
            kernels=job.kernels,
        )
        checkpoint = job.work / f"{job.name}{f'.round{number}' if number else ''}.checkpoint"

        def on_epoch_end(history: History) -> None:
            if history.epochs < epochs:
                self.bank.turn(before.epochs + history.epochs)
            on_epoch(before.then(history))

        epochs_done = (
            len(read_checkpoint(checkpoint)[1]["history"]["columns"]["seconds"]) if checkpoint.is_file() else 0
        )
        self.bank.turn(before.epochs + min(epochs_done, epochs - 1))
        history = trainer.fit(
            self.network,
            source,
            target,
            validation=validation,
            checkpoint=checkpoint,
            resume=True,
            on_epoch=on_epoch_end,
        )
        return before.then(history)

    def _held_out(self) -> tuple[DomainRows, DomainRows | None, tuple[DomainRows, DomainRows | None]]:
        """Return the rows for training, and the rows of one recording in ten, which determine when to stop."""
        recordings, number = torch.unique(self.bank.takes.recording, return_inverse=True)
        chosen = np.random.default_rng(self.job.seed).permutation(len(recordings)) % _HELD_OUT == 0
        held_out = torch.from_numpy(chosen)[number][self.bank.frames.utterance]

        def split(rows: DomainRows) -> tuple[DomainRows, DomainRows]:
            mask = held_out[rows.features.numbers].numpy()
            return rows.select(~mask), rows.select(mask)

        source, held_source = split(self.source)
        target, held_target = (None, None) if self.target is None else split(self.target)
        return source, target, (held_source, held_target)

    def _transcribe(self, number: int) -> None:
        """Label the unlabelled utterances with the words that the network recognises, for a round of self-training."""
        domain, target, takes = self.section.domain, self.target, self.bank.takes
        if domain is None or target is None:
            return
        unlabelled = torch.arange(self.labelled, len(takes))
        listener, tape = self.listener(), takes.tape.select(unlabelled)
        frames = listener.extractor(tape, takes.speaker[unlabelled])
        likelihood = scaled(listener.senones(frames), listener.priors)
        transcripts = transcribed(likelihood, frames, self.aligner.lexicon, self.aligner.stay)
        spoken = [self.material.corpus.words[n][0] for n in takes.recording.tolist()]
        frequency = torch.bincount(torch.tensor(spoken[: self.labelled]), minlength=len(self.aligner.lexicon.words))
        sure = transcripts.surest(domain.share * number / domain.rounds, frequency / frequency.sum())
        right = transcripts.word[sure] == torch.tensor(spoken[self.labelled :])[sure]
        self.transcripts.append({"share": float(sure.double().mean()), "right": float(right.double().mean())})
        chosen = target.features.numbers - (len(self.bank.frames) - len(frames))
        weight = sure[frames.utterance[chosen]].double()
        self.target = replace(target, targets={"senone": transcripts.senone[chosen]}, weights={SURE: weight})
        self.source = replace(self.source, weights={SURE: torch.ones(len(self.source), dtype=torch.float64)})
        head = self.network.heads["senone"]
        self.network.heads["senone"] = replace(head, rows="both", weight=SURE)

    def listener(self) -> Listener:
        """Return the trained network with its decoder."""
        config, corpus = self.job.config, self.material.corpus
        loop = config.evaluation.grammar == "loop"
        cost = config.evaluation.insertion if loop else 0.0
        words = range(len(corpus.vocabulary))
        graph = graph_of(self.aligner.lexicon, self.aligner.stay, words, loop=loop, cost=cost)
        senone = torch.as_tensor(self.source.targets["senone"])
        priors = log_priors(senone, self.aligner.lexicon.senones)
        # a fusion of models needs what each model says of every word
        single = [graph_of(self.aligner.lexicon, self.aligner.stay, [n]) for n in words] if config.fusions else []
        extractor, context = extractor_of(config), context_of(config)
        return Listener(self.network, extractor, context, priors, graph, corpus.vocabulary, tuple(single))

    def tests(self) -> NDArray[np.float32]:
        """Return the results of all trials of the test utterances of the fold.

        The array [trials * u, 3 or more] has the columns of `Listener.evaluate`.
        """
        config, material = self.job.config, self.material
        test = parts_of(config, material.corpus, self.job.fold).test
        corpus = material.corpus.select(test)
        senone = self.alignment.of(test)
        listener, results = self.listener(), []
        for number, trial in enumerate(trials_of(config, material, len(corpus))):
            tape = trial_tape(trial, number, material, corpus.tape, config.seed)
            results.append(listener.evaluate(tape, corpus.speaker, corpus.words, senone))
        return np.concatenate(results)

    def chosen_by(self) -> dict[str, Any]:
        """Return the word error rate on validation recordings, by which the strength of the adaptation is chosen.

        The recordings are mixed with the noises of this training.
        """
        config, material = self.job.config, self.material
        validation = parts_of(config, material.corpus, self.job.fold).validation
        corpus = material.corpus.select(validation)
        listener, wrong, spoken = self.listener(), 0.0, 0.0
        senone = self.alignment.of(validation)
        training_noises = replace(
            material, seen=self.noises, noises=replace(material.noises, test=material.noises.train)
        )
        random = np.random.default_rng(self.job.seed)
        for number, snr in enumerate(_VALIDATION_SNR):
            kinds = torch.from_numpy(random.choice(np.array(self.noises), len(corpus)))
            trial = Trial("validation", kinds, snr, torch.full((len(corpus),), -1))
            tape = trial_tape(trial, number, training_noises, corpus.tape, self.job.seed)
            results = listener.evaluate(tape, corpus.speaker, corpus.words, senone)
            wrong, spoken = wrong + float(results[:, 0].sum()), spoken + sum(len(words) for words in corpus.words)
        return {"validation_word_error_rate": wrong / spoken}

    def probes(self) -> dict[str, Any]:
        """Train fresh networks to recognise noises (also noise or none, and rooms) from the embedding.

        They use the validation recordings at 5 dB, with stretches of noise that are in no training. Recordings with
        even numbers are for training, those with odd numbers for testing. The result also has the accuracy of the
        domain head of the training.
        """
        config, material, n_frames = self.job.config, self.material, self.job.config.evaluation.probe
        if not n_frames:
            return {}
        corpus = material.corpus.select(parts_of(config, material.corpus, self.job.fold).validation)
        random = np.random.default_rng(self.job.seed + 1)
        copies = 8
        numbers = torch.arange(len(corpus)).repeat(copies)
        kinds = torch.from_numpy(random.choice([-1, *self.noises], len(numbers)))
        rooms = torch.full((len(numbers),), -1)
        if material.seen_rooms:
            rooms = torch.from_numpy(random.choice([-1, *material.seen_rooms], len(numbers)))
        tape = roomy(corpus.tape.select(numbers), material.responses, rooms)
        generator = torch.Generator().manual_seed(self.job.seed)
        takes = Takes(tape, corpus.speaker[numbers], kinds, kinds, numbers, torch.ones(len(numbers)))
        sound = noisy(takes, material.noises.test, torch.full((len(numbers),), _PROBE_SNR), generator)
        frames = extractor_of(config)(sound, takes.speaker)
        chosen = torch.from_numpy(np.sort(random.permutation(len(frames))[: 2 * n_frames]))
        windows = window_of(frames, context_of(config), chosen)
        embedding = self.network.embed(windows, domain="target")
        utterance = frames.utterance[chosen]
        test = (numbers[utterance] % 2 == 1).numpy()
        kind = kinds[utterance].numpy()
        labels = {"noise": np.searchsorted(np.array([-1, *self.noises]), kind), "pair": (kind >= 0).astype(np.int64)}
        if material.seen_rooms:
            labels["room"] = rooms[utterance].numpy() + 1
        probes: dict[str, Any] = {}
        for name, label in labels.items():
            if len(np.unique(label[~test])) > 1:
                probe, _ = fit_probe(embedding, label, numbers[utterance].numpy(), test, seed=self.job.seed)
                probes[name] = probe.to_dict()
        return {
            "probes": probes,
            **self._head(windows[torch.from_numpy(test)], labels, numbers[utterance].numpy(), test),
        }

    def _head(
        self, windows: Tensor, labels: dict[str, Any], utterance: NDArray[Any], test: NDArray[Any]
    ) -> dict[str, Any]:
        """Return the accuracy of the domain head of the training on the test frames of the probes."""
        domain = self.section.domain
        label_name = None if domain is None else {"target": "pair"}.get(domain.of, domain.of)
        if label_name not in labels or DOMAIN not in self.network.heads:
            return {}
        output = self.network.predict(windows, DOMAIN, raw=True, domain="target")
        answers = output.argmax(axis=1) if output.ndim == 2 else (output > 0.0).astype(np.int64)
        label = labels[label_name][test]
        return {
            "head": {"of": label_name, **probe_of(answers == label, label, utterance[test], self.job.seed).to_dict()}
        }


# ---- what a network is trained on ----


def takes_of(
    job: SpeechJob, section: SpeechModelConfig, material: Material, noises: tuple[int, ...]
) -> tuple[Takes, Tensor, int]:
    """Return all takes of a job, the labelled ones first, the room of each, and the number of labelled takes.

    Recordings without words were made in noise: each take of them has a fixed noise at a fixed ratio. This noise is the
    same for a model that adapts to these takes and for a model that is trained with their words.
    """
    config, copies = job.config, section.training.copies
    parts = parts_of(config, material.corpus, job.fold)
    speeds = config.voice.speeds if section.voice else (1.0,)
    clean = TakeChanges(copies, speeds)
    noise = replace(clean, noises=noises, clean=config.noise.clean)
    if config.rooms is not None:
        noise = replace(noise, rooms=material.seen_rooms, room_share=config.rooms.share)
    changes = {"clean": clean, "noisy": noise}

    def part_of(number: int, part: str) -> tuple[Takes, Tensor]:
        if part == "target":
            takes, rooms = takes_from(material, parts.unlabelled, noise, job.seed + 99)
            return recorded(takes, material.noises.train, Levels(*config.noise.snr), job.seed + 98), rooms
        return takes_from(material, parts.labelled, changes[part], job.seed + 11 * number)

    takes_and_rooms = [part_of(number, part) for number, part in enumerate(section.train_on)]
    labelled = sum(len(takes) for takes, _ in takes_and_rooms)
    if section.domain is not None and section.domain.of == "target":
        takes_and_rooms.append(part_of(0, "target"))
    return joined([takes for takes, _ in takes_and_rooms]), torch.cat([rooms for _, rooms in takes_and_rooms]), labelled


def joined(parts: list[Takes]) -> Takes:
    """Join several sets of takes into one."""
    if len(parts) == 1:
        return parts[0]
    names = ("speaker", "noise", "added", "recording", "speed")
    fields = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    utterances = [part.tape.utterance(number) for part in parts for number in range(len(part))]
    return Takes(on_tape(utterances, parts[0].tape.rate), **fields)


def rows_of(
    section: SpeechModelConfig,
    alignment: Alignment,
    bank: Bank,
    rooms: Tensor,
    labelled: int,
    noises: tuple[int, ...],
) -> tuple[DomainRows, DomainRows | None]:
    """Return rows of the core: windows of frames, computed when a batch needs them, and the targets of the heads.

    The first are the rows of the labelled takes, the second those of the unlabelled takes (None if there are none).
    """
    takes, frames, labelled_takes = bank.takes, bank.frames, slice(labelled)
    senone = alignment.at_speeds(
        takes.recording[labelled_takes], takes.speed[labelled_takes], frames.count[labelled_takes], bank.extractor.bank
    )
    begin = len(senone)
    chosen = every(frames.count, section.training.every)
    source, target = chosen[chosen < begin], chosen[chosen >= begin]
    targets: dict[str, Any] = {"senone": senone[source]}
    domain = section.domain
    if domain is not None and domain.of != "target" and domain.alpha:
        labels = domain_labels(domain.of, takes.noise, rooms, noises)
        targets[DOMAIN] = labels[frames.utterance[source]]
    rows = DomainRows(ComputedRows(source, bank.windows), targets, transform=bank.masked)
    if not len(target):
        return rows, None
    return rows, DomainRows(ComputedRows(target, bank.windows), transform=bank.masked)


def domain_labels(of: str, noise: Tensor, room: Tensor, noises: tuple[int, ...]) -> Tensor:
    """Return the targets of a domain head for each take, int64 [u].

    0 is no noise (or no room); types of noise (or rooms) are numbered from 1.
    """
    if of == "pair":
        return (noise >= 0).long()
    if of == "noise":
        return torch.searchsorted(torch.tensor([-1, *noises]), noise)
    return room + 1
