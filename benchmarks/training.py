"""CPU time of the trainings of an analysis file, over the same networks stepped by a plain loop in eager torch.

    python benchmarks/training.py [--config configs/tth.yaml] [--models dann,network] [--repeats 5] [--epochs 10]
                                  [--bfloat16] [--json FILE]

For each network of the analysis file (fold 0, member 0) are compared, one after the other in every repeat, each in a
process of its own and on one thread:

    floor       the plain loop, written below: rows that are standardised in advance and in memory, the batches of the
                training, the layers of the network, weighted losses, the reversal, the Adam of torch with fused
                kernels. No validation, no history, no average of the weights, no checkpoint, no scores.
    floor, kept the same in a process that keeps freed memory (hepda.adversarial.memory), which no script does by itself
    fit         everything that `hepda train` does in this training: `run_job`, from the table on the disk to the scores
    fit, bfloat16 (--bfloat16) the same in that precision; the floor stays in float32

Times are CPU times of the process, for each step of a training; numbers are medians over the repeats, ratios medians
of the ratios within a repeat. With --epochs a training is shorter, so that its set-up counts for more than it does.
The last line adds all trainings of the analysis file: folds, members of ensembles, epochs. The processor and its
instruction sets are printed, since the ratios depend on them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor
from torch.nn import functional

from hepda.adversarial import Network, gradient_reversal
from hepda.adversarial.data.batches import Batch, PairedBatches, Placement
from hepda.adversarial.memory import keep_freed_memory
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.network import Head
from hepda.adversarial.terms.energy import Cramer, cramer
from hepda.adversarial.training.layout import BatchLayout, batch_layout
from hepda.adversarial.training.settings import TrainSettings
from hepda.config import AnalysisConfig, NetworkConfig, load_config
from hepda.events.kind import EventsKind
from hepda.events.table.store import open_table
from hepda.events.training.jobs import EventJob, build_network
from hepda.events.training.tensors import network_part
from hepda.runtime.jobs import done, run_job

FLOOR, KEPT, FIT, BFLOAT16 = "floor", "floor, kept", "fit", "fit, bfloat16"


@dataclass(frozen=True, slots=True)
class Floor:
    """A network, its rows in memory, and its settings: what the plain loop needs."""

    network: Network
    layout: BatchLayout
    settings: TrainSettings

    def batches(self) -> PairedBatches:
        """Return the batches that a training draws."""
        s = self.settings
        tables = self.layout.source, self.layout.target
        return PairedBatches(*tables, s.batch_size, s.target_size, s.seed, Placement(torch.device("cpu")))

    def run(self) -> int:
        """Take all steps of a training; return their number."""
        s, batches = self.settings, self.batches()
        momentum = 0.9 if s.momentum is None else s.momentum
        adam = torch.optim.AdamW(self.network.parameters(), lr=s.learning_rate, betas=(momentum, 0.999), fused=True)
        strength, steps = torch.ones(()), s.epochs * batches.steps
        for step in range(steps):
            adam.zero_grad(set_to_none=True)
            self.loss(batches(step), strength, adapts=step >= batches.steps).backward()
            adam.step()
        return steps

    def loss(self, batch: Batch, strength: Tensor, *, adapts: bool) -> Tensor:
        """Return the loss of a batch; `adapts`: the domain loss is included, as it is after a warm-up of an epoch."""
        network, n = self.network, batch.n_source
        x = batch.features if adapts else batch.features[:n]
        for layer in network.encoder.children():
            x = layer(x)
        total = x.new_zeros(())
        main = x
        for layer in network.head_modules[network.main.name].children():
            main = layer(main)
        for head in network.heads.values():
            if head is network.main:
                total = total + self._weighted(head, main[:n], batch.columns[:n])
            elif adapts:
                read = torch.sigmoid(main) if head.reads else x
                read = gradient_reversal(read, strength)
                for layer in network.head_modules[head.name].children():
                    read = layer(read)
                total = total + self._weighted(head, read, batch.columns)
        for term in network.terms if adapts else ():
            weight = batch.columns[:, self.layout.terms[term.name].weight]
            total = total + cramer(main[:n, 0], main[n:, 0], weight[:n], weight[n:])
        return total

    def _weighted(self, head: Head, output: Tensor, columns: Tensor) -> Tensor:
        layout = self.layout.layouts[head.name]
        target, weight = columns[:, layout.columns.start], columns[:, layout.weight]
        share = weight / weight.abs().sum()
        return functional.binary_cross_entropy_with_logits(output[:, 0], target, share, reduction="sum")


def floor_of(job: EventJob) -> Floor:
    """Return the plain loop of a training.

    Raises:
        SystemExit: the network has a part that the plain loop does not know.

    """
    section = job.spec.section
    part = network_part(job.spec, open_table(job.table), job.fold)
    network = build_network(part.source.features.shape[1], job.spec, job.seed, {})
    known = all(h.loss == "binary" and h.input in ("features", network.main.name) for h in network.heads.values())
    if not known or not all(type(term) is Cramer for term in network.terms) or network.normalization is None:
        raise SystemExit(f"the plain loop knows binary heads, domain heads and cramer; models.{job.model} has others")
    chosen = section.training.settings(section.domain) | {"patience": None}
    settings = TrainSettings(**chosen, seed=job.seed, device="cpu")
    sizes = settings.batch_size, settings.target_size or settings.batch_size
    layout = batch_layout(network, part.source, part.target, sizes)
    network.normalization.fit(layout.source.features)
    with torch.no_grad():
        tables = [
            None if table is None else replace(table, features=network.normalization(table.features))
            for table in (layout.source, layout.target)
        ]
    return Floor(network, replace(layout, source=tables[0], target=tables[1]), settings)


def measured(job: EventJob, variant: str) -> float:
    """Return the CPU seconds of one training in this process."""
    if variant in (FIT, BFLOAT16):
        done(job).unlink(missing_ok=True)
        (job.work / f"{job.name}.checkpoint").unlink(missing_ok=True)
        begin = time.process_time()
        run_job(None, job, lambda *progress: None)
        return time.process_time() - begin
    with seeded(job.seed):
        floor = floor_of(job)
    begin = time.process_time()
    floor.run()
    return time.process_time() - begin


def serve(jobs: dict[str, EventJob], variant: str, pipe: Any) -> None:
    """Measure the trainings that are asked for, until None is received."""
    torch.set_num_threads(1)
    if variant == KEPT:
        keep_freed_memory()
    while (name := pipe.recv()) is not None:
        pipe.send(measured(jobs[name], variant))


def jobs_of(config: AnalysisConfig, folder: Path) -> Iterator[tuple[EventJob, int]]:
    """Yield the first training of each network of an analysis, and the number of its trainings."""
    kind = EventsKind(config)
    for line in kind.load(lambda *progress: None):
        print(line)
    work = folder / "work"
    work.mkdir()
    jobs = kind.jobs(folder / "run", work, "cpu")
    for name, section in config.models.items():
        if isinstance(section, NetworkConfig):
            trainings = [job for job in jobs if job.model == name]
            yield trainings[0], len(trainings)


def steps_of(job: EventJob) -> int:
    """Return the number of steps of a training that is not stopped."""
    floor = floor_of(job)
    return floor.settings.epochs * floor.batches().steps


def compare(jobs: dict[str, EventJob], variants: dict[str, dict[str, EventJob]], repeats: int) -> dict[str, Any]:
    """Return the CPU seconds of each training and variant, one for each repeat; each variant has its own process."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for variant, trainings in variants.items():
        pipes[variant], other = context.Pipe()
        processes.append(context.Process(target=serve, args=(trainings, variant, other), daemon=True))
        processes[-1].start()
    seconds: dict[str, Any] = {name: {variant: [] for variant in variants} for name in jobs}
    for repeat in range(repeats + 1):
        for name in jobs:
            for variant, pipe in pipes.items():
                pipe.send(name)
                value = pipe.recv()
                if repeat:  # the first one imports and warms up
                    seconds[name][variant].append(value)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(None)
        process.join()
    return seconds


def processor() -> str:
    """Return the name of the processor and the instruction sets that matter here."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    known = getattr(torch.cpu, "get_capabilities", dict)()
    sets = [key for key in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "neon", "bf16") if known.get(key)]
    return f"{name} ({', '.join(sets) or torch.backends.cpu.get_cpu_capability()})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/tth.yaml"))
    parser.add_argument("--models", help="only these, with commas between them")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="of every training; default: those of the analysis file")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(arguments.config)
    names = arguments.models.split(",") if arguments.models else list(config.models)
    with tempfile.TemporaryDirectory() as folder:
        found = [(job, count) for job, count in jobs_of(config, Path(folder)) if job.model in names]
        counts = {job.model: count for job, count in found}
        epochs = {job.model: job.spec.section.training.epochs for job, _ in found}
        jobs = {job.model: with_training(job, epochs=arguments.epochs) for job, _ in found}
        variants = {FLOOR: jobs, KEPT: jobs, FIT: jobs}
        if arguments.bfloat16:
            variants[BFLOAT16] = {name: with_training(job, precision="bfloat16") for name, job in jobs.items()}
        steps = {name: steps_of(job) for name, job in jobs.items()}
        load = os.getloadavg()[0]
        seconds = compare(jobs, variants, arguments.repeats)
    print(f"{processor()}, torch {torch.__version__}, 1 thread, load {load:.1f} to {os.getloadavg()[0]:.1f}")
    share = {
        name: counts[name] * epochs[name] / job.spec.section.training.epochs for name, job in jobs.items()
    }  # how many of the measured trainings the analysis file has
    for name in jobs:
        print_line(name, seconds[name], steps[name])
    repeats = range(arguments.repeats)
    whole = {v: [sum(share[name] * seconds[name][v][i] for name in jobs) for i in repeats] for v in variants}
    print_line("all trainings", whole, sum(round(share[name] * steps[name]) for name in jobs))
    if arguments.json:
        result = {"seconds": seconds, "steps": steps, "share": share, "processor": processor()}
        arguments.json.write_text(json.dumps(result, indent=1))


def with_training(job: EventJob, **changes: Any) -> EventJob:
    """Return a job with other settings of its training; None: as it is."""
    section = job.spec.section
    changed = {key: value for key, value in changes.items() if value is not None}
    training = section.training.model_copy(update=changed)
    return replace(job, spec=replace(job.spec, section=section.model_copy(update={"training": training})))


def print_line(name: str, seconds: dict[str, list[float]], steps: int) -> None:
    """Print CPU seconds, milliseconds for each step, and the ratio to both floors."""
    for variant, values in seconds.items():
        total = statistics.median(values)
        ratios = [
            statistics.median(a / b for a, b in zip(values, seconds[floor], strict=True)) for floor in (FLOOR, KEPT)
        ]
        print(
            f"{name:14s} {variant:14s} {total:8.2f} s {1e3 * total / steps:7.2f} ms a step {ratios[0]:6.2f} of the "
            f"floor {ratios[1]:6.2f} of the floor that keeps memory"
        )


if __name__ == "__main__":
    sys.exit(main())
