"""CPU time of the evaluation by kind of number, and that of another commit in turn with the present one.

    python benchmarks/evaluation.py [--events 300000] [--models 5] [--replicas 200] [--repeats 3]
                                    [--against COMMIT] [--run RUN]

The whole evaluation as in `hepda evaluate` (`hepda.events.results.evaluate.evaluate`, with probes on scores,
embeddings and inputs), of made-up events or of the events of a finished run. Each repetition is a new process on one
thread, and the two commits alternate, so that other work on the machine slows both down. Given are medians of seconds
of processor time: of each kind of number, of their sum, and of the whole process with its imports and, with --run, the
reading of the events.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

DOMAINS = ("simulation", "alternative", "third")
KINDS = ("probe", "importance", "bias", "model", "ratio", "roc", "classes")
"""The kinds of parts of the evaluation; an older hepda has the two-sample tests, `bias`, in `model`."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def events(n: int, models: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return scores of correlated models, labels, domains (0, 1, 2), signed weights and an embedding [n, 32]."""
    generator = np.random.default_rng(0)
    label = (generator.random(n) < 0.4).astype(np.int8)
    domain = generator.integers(0, 3, n).astype(np.int8)
    base = generator.normal(1.4 * label, 1) + 0.05 * domain
    logits = {f"model{m}": base + generator.normal(0, 0.3, n) for m in range(models)}
    scores = {m: 1 / (1 + np.exp(-x)) for m, x in logits.items()}
    weight = np.where(generator.random(n) < 0.15, -1.0, 1.0) * np.where(label == 1, 0.01, 1.0)
    embedding = generator.normal(0.02 * domain[:, None], 1, (n, 32)).astype(np.float32)
    return scores, label, domain, weight, embedding


def made_up(options: argparse.Namespace, folder: Path) -> Any:
    """Return the input of the evaluation: the last model has no embedding, like trees."""
    from hepda.adversarial import Head, Network, mlp
    from hepda.config import validate
    from hepda.events.resolve import evaluation_spec
    from hepda.events.results.evaluate import EvaluationInput
    from hepda.events.table.feature_table import FeatureTable

    scores, label, domain, weight, embedding = events(options.events, options.models)
    key = np.random.default_rng(1).integers(0, 2**63, len(label)).astype(np.uint64)
    names = tuple(f"x{i}" for i in range(embedding.shape[1]))
    classes = {"signal": 1, "background": 0}
    samples = {
        f"{name}_{where}": {"files": "none.root", "class": name, "domain": where}
        for where in DOMAINS
        for name in classes
    }
    config = validate(
        {
            "name": "benchmark", "luminosity": 1.0, "samples": samples, "features": list(names),
            "models": {m: {"kind": "network", "encoder": [64, 64]} for m in scores},
            "evaluation": {"bias": {"between": list(DOMAINS)}, "bootstrap": options.replicas},
        }
    )  # fmt: skip
    table = FeatureTable(
        features=embedding, names=names, weight=weight, label=label, domain=domain.astype(np.int16),
        domain_names=DOMAINS, sample=(2 * domain + (label == 0)).astype(np.int16), sample_names=tuple(samples),
        fold=(key % 2).astype(np.int8), validation=key % 5 == 0, key=key,
    )  # fmt: skip
    path = folder / "network.safetensors"
    head = Head("class", mlp(64, [], 1), loss="binary")
    Network(mlp(len(names), [64, 64]), [head], metadata={"features": list(names)}).save(path)
    return EvaluationInput(evaluation_spec(config), table, scores, dict.fromkeys(list(scores)[:-1], path))


def of_run(run: Path) -> Any:
    """Return the input of the evaluation of a finished run of events, as `hepda evaluate` makes it."""
    from functools import partial

    from hepda.config import load_any
    from hepda.events.resolve import evaluation_spec
    from hepda.events.results.evaluate import EvaluationInput
    from hepda.events.training.scoring import rescore
    from hepda.kinds import kind_of

    config = load_any(run / "config.yaml")
    kind: Any = kind_of(config)
    kind.load(lambda *_: None)
    scores, spec, models = kind.saved_scores(run), evaluation_spec(config), run / "models"
    networks = {
        name: models / name / "fold0-member0.safetensors"
        for name, model in spec.models.items()
        if model.section.kind == "network"
    }
    return EvaluationInput(
        spec, kind.table, {name: scores[name] for name in spec.models}, networks, partial(rescore, spec.models, models)
    )


def child(options: argparse.Namespace) -> None:
    """Evaluate once in this process and print the seconds by kind as JSON."""
    from hepda.events.results import evaluate as module

    seconds: Counter[str] = Counter()
    compute = module._compute

    def measured(evaluated: Any, part: Any, send: Any) -> Any:
        start = time.process_time()
        result = compute(evaluated, part, send)
        seconds[part[0]] += time.process_time() - start
        return result

    module._compute = measured
    with tempfile.TemporaryDirectory() as folder:
        evaluated = of_run(options.run) if options.run else made_up(options, Path(folder))
        start = time.process_time()
        module.evaluate(evaluated, 1, lambda *_: None)
        seconds["sum"] = time.process_time() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds["process"] = used.ru_utime + used.ru_stime
    print(json.dumps({**seconds, "memory [MB]": used.ru_maxrss / 1024}))


def once(tree: Path, arguments: list[str]) -> dict[str, float]:
    """Return what a process with the hepda of `tree` printed."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tree), **dict.fromkeys(THREADS, "1")}
    printed = subprocess.run(command, env=environment, cwd=tree, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(printed.splitlines()[-1]))


def checked_out(commit: str, here: Path, folder: Path) -> Path:
    """Return a folder with the files of a commit."""
    archive = subprocess.run(["git", "archive", commit, "hepda"], cwd=here, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def processor() -> str:
    """Return the name of the processor and which vector instructions it has."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.is_file() else []
    named = dict(line.split(":", 1) for line in lines if ":" in line)
    values = {key.strip(): value.strip() for key, value in named.items()}
    flags = [flag for flag in ("avx2", "avx512f") if flag in values.get("flags", "").split()]
    return f"{values.get('model name', platform.processor())}, {', '.join(flags) or 'no AVX2'}, one thread"


def table(measured: dict[str, list[dict[str, float]]]) -> None:
    """Print the medians, and with two commits the ratio of the second to the first, pair by pair."""
    names = list(measured)
    print(f"{'':12s}" + "".join(f"{name:>14s}" for name in names) + (f"{'ratio':>10s}" if len(names) > 1 else ""))
    for kind in (*KINDS, "sum", "process", "memory [MB]"):
        columns = [[repetition.get(kind, 0.0) for repetition in measured[name]] for name in names]
        if not any(map(any, columns)):
            continue
        line = f"{kind:12s}" + "".join(f"{statistics.median(column):14.2f}" for column in columns)
        if len(names) > 1 and all(columns[0]):
            line += f"{statistics.median(b / a for a, b in zip(*columns, strict=True)):10.2f}"
        print(line)


def main() -> None:
    """Evaluate with one or two commits in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--against", metavar="COMMIT")
    parser.add_argument("--run", type=Path, help="a finished run of events")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    here = Path(__file__).resolve().parents[1]
    arguments = [f"--{name}={getattr(options, name)}" for name in ("events", "models", "replicas")]
    arguments += [f"--run={options.run.resolve()}"] if options.run else []
    of = str(options.run or f"{options.models} models, {options.events} events, {options.replicas} replicas")
    print(f"{of}; seconds of processor time, {processor()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        trees = {options.against: checked_out(options.against, here, Path(folder))} if options.against else {}
        trees["here"] = here
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
        for _ in range(options.repeats):
            for name, tree in trees.items():
                measured[name].append(once(tree, arguments))
        table(measured)


if __name__ == "__main__":
    main()
