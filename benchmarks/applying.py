"""Speed of `hepda apply`, compared with reading the same features and onnxruntime alone.

    python benchmarks/applying.py [--events 400000] [--repeats 5] [--folder DIR]

The files, variables and features are those of benchmarks/reading.py; the model is one network of the default widths.
`alone` reads the features by hepda's own reader and gives them to onnxruntime, and writes nothing; `hepda apply` reads,
scores out of fold and writes a TTree of friends. Both run in one process on one thread, interleaved; numbers are
medians of the CPU time. Needs onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import reading

from hepda.config import AnalysisConfig, load_config, resolved_yaml
from hepda.events import steps
from hepda.events.resolve import dataset_spec, model_specs
from hepda.events.table.store import write_table
from hepda.events.training import friends
from hepda.events.training.jobs import jobs_of
from hepda.runtime import run_directory
from hepda.runtime.jobs import run_jobs
from hepda.workflows import apply

WIDTHS = (128, 128, 64)


class Silent:
    """A progress that shows nothing."""

    def stage(self, name: str) -> None:
        """Do nothing."""

    def step(self, what: str, done: int, total: int) -> None:
        """Do nothing."""


def trained(folder: Path, config: AnalysisConfig) -> Path:
    """Return a run directory with one network, trained for one epoch."""
    run = folder / "run"
    for left in ("run", "table", "work"):
        shutil.rmtree(folder / left, ignore_errors=True)
    loaded = steps.load(config, lambda *_: None)
    write_table(loaded.table, folder / "table")
    run_jobs(jobs_of(model_specs(config), folder / "table", run, folder / "work", "cpu"), 1, lambda *_: None)
    run_directory.write_text(run / "config.yaml", resolved_yaml(config))
    run_directory.write_json(run / "manifest.json", {"training": {}})
    return run


def session() -> Any:
    """Return the same layers in onnxruntime: features [n, 20] to a score [n, 1]."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    sizes, nodes, weights, last = (len(reading.FEATURES), *WIDTHS, 1), [], [], "x"
    for i, (a, b) in enumerate(pairwise(sizes)):
        weights += [
            numpy_helper.from_array(rng.normal(0, a**-0.5, (a, b)).astype(np.float32), f"w{i}"),
            numpy_helper.from_array(np.zeros(b, np.float32), f"b{i}"),
        ]
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"h{i}"]))
        last = "y" if i == len(sizes) - 2 else f"r{i}"
        nodes.append(helper.make_node("Sigmoid" if last == "y" else "Relu", [f"h{i}"], [last]))
    shapes = (("x", sizes[0]), ("y", 1))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, size]) for name, size in shapes]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def alone(config: AnalysisConfig, path: str, network: Any) -> int:
    """Read and score, without writing; return the number of events."""
    done = 0
    for span in friends.spans(dataset_spec(config), friends.inspect_file(dataset_spec(config), path, None)):
        table = span.parts[""].table
        done += len(network.run(None, {"x": table.features})[0])
    return done


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "hepda-benchmark")
    options = parser.parse_args()
    try:
        network = session()
    except ImportError as error:
        print(f"skipped: {error}")
        return
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}-{options.events}.root" for name in ("signal", "background")]
    for seed, path in enumerate(files):
        if not path.exists():
            reading.write(path, options.events // 2, seed)
    reading.analysis(folder, files)
    changes = ["models={network: {kind: network}}", "training.epochs=1", "training.patience=null"]
    config = load_config(folder / "reading.yaml", changes)
    run, output = trained(folder, config), folder / "friends"
    ratios, rates = [], []
    for _ in range(options.repeats):
        start = time.process_time()
        events = sum(alone(config, str(path), network) for path in files)
        middle = time.process_time()
        shutil.rmtree(output, ignore_errors=True)
        apply.apply(run, [str(path) for path in files], output, Silent(), processes=1)
        end = time.process_time()
        ratios.append((middle - start) / (end - middle))
        rates.append((events / (middle - start) / 1e6, events / (end - middle) / 1e6))
    by_hand, own = (statistics.median(rate[i] for rate in rates) for i in range(2))
    print(f"{events} events, {len(reading.FEATURES)} features, medians of {options.repeats}, M events / CPU s")
    print(f"alone {by_hand:.3f}, hepda apply {own:.3f}: {statistics.median(ratios):.3f} of its speed")


if __name__ == "__main__":
    sys.exit(main())
