"""Two processes against one: what they train is the same, for every method and stabiliser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from hepda.adversarial import DomainBatchNorm, DomainRows, Head, History, Network, Trainer, mlp, seeded
from hepda.adversarial.distributed import all_reduce, gather, init, is_distributed, local_rows, shutdown, world_size
from hepda.adversarial.methods import METHODS, Comparison, build, methods_of
from hepda.adversarial.networks.tail import Tail
from hepda.errors import ConfigError
from tests.adversarial.toys import network, shifted

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STEPS: dict[str, Any] = {"epochs": 2, "optimizer": "sgd", "learning_rate": 0.05, "seed": 1, "device": "cpu"}
Found = NDArray[np.float64]


class StopError(Exception):
    """Ends a training in its middle."""


def rows(classes: int) -> tuple[DomainRows, DomainRows]:
    """301 and 257 rows with weights of either sign: two workers cannot halve the batches."""
    source, target = shifted(301)
    label = np.digitize(np.asarray(source.features)[:, 0], [-0.5, 0.5]) if classes == 3 else source.targets["class"]
    masks = {"background": label == 0, "signal": label > 0}
    return DomainRows(source.features, {"class": label}, source.weights, masks), target.select(np.arange(257))


def trained(net: Network, source: DomainRows, target: DomainRows, **settings: Any) -> Found:
    """Predictions and what the history says, after a training."""
    history = Trainer(**{**STEPS, "batch_size": 101, **settings}).fit(net, source, target)
    columns = [history[name] for name in sorted(history.columns) if name != "seconds"]
    return np.append(net.predict(source.features, raw=True).ravel().astype(np.float64), np.nan_to_num(columns).ravel())


def by_method(name: str, trainer: dict[str, Any] | None = None, **settings: Any) -> Found:
    """A training with a method of the registry."""
    classes = METHODS[name].classes if METHODS[name].classes == 3 else 2
    masks = ("background", "signal") if name == "conditional" else ()
    methods = methods_of(name, **{"schedule": "constant", "hidden": (8,), "balance": False, **settings})
    with seeded(0):
        heads, terms = build(methods, Comparison(8, classes, weight="domain", masks=masks))
        main = Head("class", mlp(8, [], 1 if classes == 2 else 3), loss="multiclass" if classes == 3 else "binary")
        net = Network(mlp(6, [16, 8], activation="tanh"), [main, *heads], terms=terms)
    return trained(net, *rows(classes), **(trainer or {}))


def by_domains(name: str) -> Found:
    """A training with two target domains, class by class."""
    source, target = rows(2)
    classes = {"low": np.asarray(source.targets["class"]) == 0, "high": np.asarray(source.targets["class"]) == 1}
    number, group = np.arange(257) % 2 + 1, np.arange(257) % 3 == 0
    source_masks, target_masks = {}, {}
    for index, pair in enumerate(("", "/B", "/C")):
        for class_name, mask in classes.items():
            source_masks[f"both{pair}/{class_name}"] = mask
            of_class = group if class_name == "low" else ~group
            target_masks[f"both{pair}/{class_name}"] = of_class & ((number == index) | (index == 0))
    source = DomainRows(
        source.features, {"class": source.targets["class"], "domain": np.zeros(301)}, source.weights, source_masks
    )
    target = DomainRows(target.features, {"domain": number}, target.weights, target_masks)
    settings = {"schedule": "constant", "hidden": (8,), "tail": 0.4} if name == "cramer" else {"hidden": (8,)}
    with seeded(0):
        comparison = Comparison(8, weight="domain", domains=3, pairs=("B", "C"), groups=("low", "high"))
        heads, terms = build(methods_of(name, **settings), comparison)
        net = Network(mlp(6, [16, 8], activation="tanh"), [Head("class", mlp(8, [], 1)), *heads], terms=terms)
    return trained(net, source, target)


def by_partners() -> Found:
    """A training with two variations of the source rows as target."""
    source, _ = rows(2)
    weight = np.asarray(source.weights["domain"])
    weights = {"domain": np.concatenate([weight * 1.2, weight * np.linspace(0.5, 2.0, 301)])}
    target = DomainRows(np.tile(source.features, (2, 1)), {"domain": np.repeat([1, 2], 301)}, weights, partners=2)
    source = DomainRows(source.features, dict(source.targets) | {"domain": np.zeros(301)}, source.weights)
    with seeded(0):
        methods = methods_of("dann,cramer", schedule="constant", hidden=(8,))
        heads, terms = build(methods, Comparison(8, weight="domain", domains=3))
        net = Network(mlp(6, [16, 8], activation="tanh"), [Head("class", mlp(8, [], 1)), *heads], terms=terms)
    return trained(net, source, target)


def by_layer(layer: Callable[[int], nn.Module]) -> Found:
    """A training with a batch norm in the encoder."""
    with seeded(0):
        encoder = nn.Sequential(nn.Linear(6, 8), layer(8), nn.ReLU())
        heads, terms = build(methods_of("vada", schedule="constant", hidden=(8,)), Comparison(8, weight="domain"))
        net = Network(encoder, [Head("class", mlp(8, [], 1)), *heads], terms=terms)
    history = trained(net, *rows(2), precision="float64")  # torch sums the rows of a batch in another order
    return np.concatenate([history, *(b.double().numpy().ravel() for b in net.buffers())])


def by_tail() -> Found:
    """A training whose domain head looks at the tail of the score."""
    return trained(network(tail=Tail(0.3)), *rows(2))


def resumed(folder: str) -> Found:
    """A training that goes on from the first worker's checkpoint, which every worker reads."""
    net = network()
    path = Path(folder) / f"checkpoint{os.environ.get('RANK', '0')}"
    Trainer(**STEPS, batch_size=101).fit(net, *rows(2), checkpoint=path, resume=True)
    return net.predict(rows(2)[0].features, raw=True)


def by_classes() -> Found:
    """A training with an energy distance of three logits."""
    with seeded(0):
        _, terms = build(methods_of("cramer", schedule="constant", unbiased=True), Comparison(8, 3, weight="domain"))
        main = Head("class", mlp(8, [], 3), loss="multiclass")
        net = Network(mlp(6, [16, 8], activation="tanh"), [main], terms=terms)
    return trained(net, *rows(3))


def noise(features: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A second view that needs no random numbers: those of a worker are its own."""
    return features * 1.1


CASES: dict[str, Callable[[], Found]] = {name: partial(by_method, name) for name in METHODS}
CASES |= {
    "pseudo, second view": partial(by_method, "pseudo", transform=noise),
    "contrast, second view": partial(by_method, "contrast", transform=noise),
    "gradient penalty": partial(by_method, "dann", gradient_penalty=1.0),
    "projection": partial(by_method, "dann", {"combine": "projection"}, strength=5.0),
    "clip and average": partial(by_method, "dann", {"clip": 0.01, "average": 0.9}),
    "several steps": partial(by_method, "wasserstein", steps=3),
    "spectral norm": partial(by_method, "dann", spectral_norm=True),
    "tail": by_tail,
    "domains and classes, heads": partial(by_domains, "dann"),
    "domains and classes, terms": partial(by_domains, "cramer"),
    "partners": by_partners,
    "cramer of three classes": by_classes,
    "batch norm": partial(by_layer, nn.BatchNorm1d),
    "domain batch norm": partial(by_layer, DomainBatchNorm),
}


def worker(folder: str) -> None:
    """What each of the two processes runs; it starts below."""
    torch.set_num_threads(1)
    init()
    results = {name: case() for name, case in CASES.items()} | {"resumed": resumed(folder)}
    shutdown()
    threads = [comm.read_text() for comm in Path("/proc/self/task").glob("*/comm")]
    assert not any("gloo" in name for name in threads), threads  # one that works on would abort the process at its end
    np.savez(Path(folder) / f"found{os.environ['RANK']}.npz", **results)


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Found]]:
    """What each of two processes found, for all cases: one start for all of them."""
    folder = tmp_path_factory.mktemp("workers")

    def stop(so_far: History) -> None:
        if so_far.epochs == 1:
            raise StopError

    with pytest.raises(StopError):
        Trainer(**STEPS, batch_size=101).fit(network(), *rows(2), checkpoint=folder / "checkpoint0", on_epoch=stop)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    call = f"from tests.adversarial.test_distributed import worker; worker({str(folder)!r})"
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", call], env={**os.environ, **environment, **path, "RANK": str(rank)}, cwd=ROOT
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=240) for process in started] == [0, 0]
    return [dict(np.load(folder / f"found{rank}.npz")) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one_with_the_same_batch(of_two: list[dict[str, Found]], case: str) -> None:
    expected = CASES[case]()
    for results in of_two:
        assert np.abs(results[case] - expected).max() < 1e-5


def test_a_checkpoint_is_read_by_all_processes(of_two: list[dict[str, Found]], tmp_path: Path) -> None:
    for results in of_two:
        assert np.abs(results["resumed"] - resumed(str(tmp_path))).max() < 1e-5


def test_alone_there_is_nothing_to_join() -> None:
    values = torch.arange(3.0)
    assert init() == (0, 1)
    assert not is_distributed()
    assert world_size() == 1
    assert local_rows(7) == slice(0, 7)
    assert gather(values, 3) is values and all_reduce(values) is values


def test_a_batch_is_not_smaller_than_the_processes_are_many() -> None:
    from hepda.adversarial.data.batches import DomainTable, PairedBatches, Placement

    table = DomainTable(torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(ConfigError, match="3 rows of a domain cannot be shared by 4"):
        PairedBatches(table, None, 10, None, 0, Placement(torch.device("cpu"), 3, 4))
