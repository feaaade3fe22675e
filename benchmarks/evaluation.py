"""Time of the evaluation of five models on 300k events with 200 bootstrap replicas; the goal is 20 s on 2 cores.

    python benchmarks/evaluation.py [--events 300000] [--models 5] [--replicas 200] [--processes 2] [--parts]

The whole evaluation as in `hepda evaluate` (`hepda.events.results.evaluate.evaluate`, with probes on scores,
embeddings and inputs) is timed on several processes by wall clock, and on one process in processor time, which
hardly depends on the load of the machine. With --parts, single steps are timed on one core as well.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hepda.adversarial import Head, Network, mlp
from hepda.config import validate
from hepda.evaluation.calibration import calibration_curve
from hepda.evaluation.differences.bias import BiasSettings, compare
from hepda.evaluation.differences.probes import ProbeSettings, probe
from hepda.evaluation.differences.ratios import DomainComparison, RatioSettings, shift_ratios
from hepda.evaluation.expected import Counting, binned_significance, scan_cuts
from hepda.evaluation.fits.binning import automatic_edges
from hepda.evaluation.roc import auc, rocs
from hepda.events.resolve import evaluation_spec
from hepda.events.results.evaluate import EvaluationInput, evaluate
from hepda.events.table.feature_table import FeatureTable


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


def timed(name: str, function: Callable[[], object], total: list[float]) -> None:
    """Print how long a step took and add its processor time to the total."""
    wall, start = time.perf_counter(), time.process_time()
    function()
    total.append(time.process_time() - start)
    print(f"{name:58s} {total[-1]:7.2f} s ({time.perf_counter() - wall:.2f} s wall clock)", flush=True)


DOMAINS = ("simulation", "alternative", "third")


def whole(options: argparse.Namespace) -> None:
    """Print the time of the whole evaluation of a run: the last model has no embedding, like trees."""
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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        head = Head("class", mlp(64, [], 1), loss="binary")
        Network(mlp(len(names), [64, 64]), [head], metadata={"features": list(names)}).save(path)
        judged = EvaluationInput(evaluation_spec(config), table, scores, dict.fromkeys(list(scores)[:-1], path))
        for processes in dict.fromkeys([options.processes, 1]):
            start, used = time.perf_counter(), time.process_time()
            evaluate(judged, processes, lambda *_: None)
            wall, used = time.perf_counter() - start, time.process_time() - used
            own = f", {used:.1f} s of processor time" * (processes == 1)  # that of other processes is not measured here
            print(f"whole evaluation, processes: {processes}: {wall:.1f} s wall clock{own}", flush=True)


def main() -> None:
    """Time the whole evaluation, and its parts if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--parts", action="store_true")
    options = parser.parse_args()
    print(f"{options.models} models, {options.events} events in three domains, {options.replicas} replicas")
    whole(options)
    if options.parts:
        parts(options)


def parts(options: argparse.Namespace) -> None:
    """Time every step alone and print the sum."""
    scores, label, domain, weight, embedding = events(options.events, options.models)
    n, total = options.replicas, []
    signal, background = label == 1, label == 0
    half = np.arange(len(label)) % 2 == 0

    def per_domain() -> None:
        for d in range(3):
            part = domain == d
            rocs({m: s[part] for m, s in scores.items()}, label[part], weight[part], replicas=n)

    def biases(other: int) -> None:
        a, b, s = background & (domain == 0), background & (domain == other), signal & (domain == 0)
        for x in scores.values():
            settings = BiasSettings(permutations=n, null_replicas=n)
            compare(x[a], weight[a], x[b], weight[b], signal_score=x[s], signal_weight=weight[s], settings=settings)

    def ratios() -> None:
        comparison, settings = DomainComparison(0, [1, 2]), RatioSettings(replicas=n)
        shift_ratios(scores, "model0", label, domain, weight, comparison=comparison, settings=settings)

    def expected() -> None:
        a, b = domain == 0, background & (domain == 1)
        for x in scores.values():
            edges = automatic_edges(x[a], label[a], weight[a])
            experiment = Counting(x[a], label[a], weight[a], 0.1, other_score=x[b], other_weight=weight[b])
            scan_cuts(experiment, choosers=half[a], other_choosers=half[b])
            binned_significance(experiment, edges)
            calibration_curve(x[a], label[a], weight[a], balance=True)

    timed("exact AUC of all events", lambda: [auc(s, label, weight) for s in scores.values()], total)
    timed("ROC, AUC, bands: each of three domains", per_domain, total)
    timed("background bias against B: p-values, null, shifts", lambda: biases(1), total)
    timed("background bias against C: p-values, null, shifts", lambda: biases(2), total)
    timed("ratio of shifts to the plain model", ratios, total)
    timed("significance, scan, bins, calibration", expected, total)
    print(f"{'sum':58s} {sum(total):7.2f} s")
    a, b = background & (domain == 0), background & (domain == 1)
    some: list[float] = []
    for kind in ("bdt", "mlp"):
        for name, values in (("score", scores["model0"]), ("embedding of 32", embedding)):
            arguments = (values[a], values[b], weight[a], weight[b])
            timed(
                f"probe {kind} on {name}, one model",
                lambda k=kind, v=arguments: probe(*v, settings=ProbeSettings(k)),
                some,
            )


if __name__ == "__main__":
    main()
