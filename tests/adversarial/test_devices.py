"""Trainings on a pretended GPU (tests/pretended.py): the numbers of the CPU, one transfer a step, no waiting."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hepda.adversarial import (
    DANNClassifier,
    DANNRegressor,
    DomainRows,
    Head,
    History,
    Network,
    SetTransformer,
    Trainer,
    TransformerSettings,
    devices,
    distributed,
    mlp,
    seeded,
)
from hepda.adversarial.data.sources import ComputedRows
from hepda.adversarial.data.stored import RowSubset
from hepda.adversarial.data.transfer import PinnedBatch
from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.methods import METHODS, Comparison, build
from hepda.adversarial.networks.sets_pairs import PAIR_FEATURES
from hepda.adversarial.training import trainer
from hepda.adversarial.training.objective import Objective
from hepda.adversarial.training.problem import Player, train
from hepda.adversarial.training.selection import SCORERS
from hepda.adversarial.training.state import TrainingState
from hepda.config.images import ImageModelConfig
from hepda.errors import ConfigError, TrainingError
from hepda.images.augmentation import CHANGES, augmentation
from hepda.images.encoders import encoder as image_encoder
from hepda.speech.sounds.bank import blanked
from hepda.speech.training.encoders import Convolutional, FeedForward, Recurrent
from tests.adversarial.networks.test_sets import ENCODERS, LAYOUT
from tests.adversarial.networks.test_sets import rows as set_rows
from tests.pretended import CUDA, MixedDevicesError, OverwrittenError, PretendedCuda

N, BATCH, EPOCHS = 96, 32, 3
STEPS = N // BATCH
Rows = tuple[DomainRows, DomainRows]

pytestmark = pytest.mark.filterwarnings("ignore:PyTorch was compiled without cuDNN")


@pytest.fixture(autouse=True)
def _torchs_own_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, too, layers are passed one by one: the pieces that a training joins there may round differently."""
    monkeypatch.setattr(trainer, "Fast", lambda *_: nullcontext())


# ---- rows and networks ----


def rows(classes: int = 2, seed: int = 0, n: int = N, domains: int = 2) -> Rows:
    rng = np.random.default_rng(seed)
    x, other = (rng.normal(size=(n, 6)).astype(np.float32) for _ in range(2))
    other[:, 1] += 1.0
    label, weight = np.arange(n) % classes, rng.normal(1.0, 0.5, n)
    numbers = [{}, {}] if domains == 2 else [{"domain": np.zeros(n)}, {"domain": 1 + np.arange(n) % (domains - 1)}]
    source = DomainRows(
        x, {"class": label, "z": rng.normal(size=n), **numbers[0]}, {"class": np.abs(weight), "domain": weight},
        {"background": label == 0},
    )  # fmt: skip
    everything = np.ones(n, dtype=bool)
    target = DomainRows(
        other, {"z": rng.normal(size=n), **numbers[1]}, {"domain": np.ones(n)}, {"background": everything}
    )
    return source, target


PLAIN = partial(mlp, 6, [16, 8])


def network(
    method: Any = "dann", classes: int = 2, encoder: Callable[[], nn.Module] = PLAIN, width: int = 8,
    **comparison: Any,
) -> Network:  # fmt: skip
    with seeded(1):
        outputs, loss = (1, "binary") if classes == 2 else (classes, "multiclass")
        body, heads = encoder(), [Head("class", mlp(width, [], outputs), loss=loss, weight="class")]
        settings = {"weight": "domain", "masks": ("background",), **comparison}
        more, terms = build(method, Comparison(width, classes, **settings))
        return Network(body, heads + more, terms=terms)


def fitted(device: str, make: Callable[[], Network], data: Rows, held_out: Rows | None = None, **settings: Any) -> Any:
    """Return the history and the network of a training."""
    settings = {"epochs": EPOCHS, "batch_size": BATCH, "seed": 3, "kernels": "plain", **settings}
    trained = make()
    return Trainer(device=device, **settings).fit(trained, *data, validation=held_out), trained


def steps_of(gpu: PretendedCuda) -> Any:
    """Record the events of each step within the block: a list of lists in `gpu.steps`."""
    step: Any = TrainingState._step
    gpu.steps = []

    def recorded(*args: Any) -> Any:
        before = len(gpu.events)
        meters = step(*args)
        gpu.steps.append(gpu.events[before:])
        return meters

    return mock.patch.object(TrainingState, "_step", recorded)


def on_gpu(make: Callable[[], Network], data: Rows, *, memory: int = 10**10, **settings: Any) -> Any:
    """Train on the pretended device; return history, network and device."""
    with PretendedCuda(memory=memory) as gpu, steps_of(gpu):
        history, trained = fitted("cuda", make, data, **settings)
        assert {str(value.device) for value in trained.state_dict().values()} == {"cuda:0"}
        weights = {name: value.cpu() for name, value in trained.state_dict().items()}
    return history, weights, gpu


def check_steps(gpu: PretendedCuda, transfers: int = 0, updates: int = 1) -> None:
    """Check that steps wait for nothing but the first signs of life of the adversary, and copy no more than allowed.

    Args:
        gpu: with the events of each step.
        transfers: of an update; 0 for tables on the device.
        updates: of a step, those of the adversary alone included.

    """
    first, later = gpu.steps[: len(gpu.steps) // EPOCHS], gpu.steps[len(gpu.steps) // EPOCHS :]
    assert later
    assert sum(event.kind != "in" for events in first for event in events) <= 4, first
    for events in later:
        assert not [event for event in events if event.kind != "in"]
        # the rows of the batch; or, at the beginning of a pass over a domain, their order
        assert sum(event.kind == "in" for event in events) <= updates * (transfers or 2), events
    assert sum(event.kind == "in" for events in later for event in events) <= updates * (
        transfers * len(later) + 2 * EPOCHS
    )


def same(a: History, b: History, **tolerance: float) -> None:
    """Check that two histories have the same values, except for times."""
    assert a.columns.keys() == b.columns.keys()
    for name in a.columns.keys() - {"seconds"}:
        np.testing.assert_allclose(a[name], b[name], err_msg=name, **{"rtol": 0.0, "atol": 0.0, **tolerance})


def compare(
    make: Callable[[], Network], data: Rows, transfers: int = 0, updates: int = 1, memory: int = 10**10, **settings: Any
) -> Any:
    """Check that a training has the same history and weights on both devices; return the device."""
    history, trained = fitted("cpu", make, data, **settings)
    other, weights, gpu = on_gpu(make, data, memory=memory, **settings)
    same(history, other)
    for name, value in trained.state_dict().items():
        assert torch.equal(value, weights[name]), name
    check_steps(gpu, transfers, updates)
    return gpu


# ---- every method, setting and encoder ----


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "classes"),
    [(name, classes) for name in METHODS for classes in (2, 3) if METHODS[name].classes <= classes],
)
def test_every_method_computes_on_the_device_and_has_the_numbers_of_the_cpu(method: str, classes: int) -> None:
    updates = 2 if method == "wasserstein" else 1
    chosen = METHODS[method](**({"steps": 2} if updates > 1 else {}))
    settings: dict[str, Any] = {"held_out": rows(classes, 5, 24), "average": 0.9, "patience": 9}
    compare(partial(network, chosen, classes), rows(classes), updates=updates, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "float64"},
        {"combine": "projection", "clip": 0.5, "rate_schedule": "cosine"},
        {"optimizer": "sgd"},
        {"optimizer": "adam", "target_size": 24},
    ],
    ids=str,
)
def test_every_setting_of_a_training_does(settings: dict[str, Any]) -> None:
    compare(partial(network, "dann,vat"), rows(), **settings)


def test_an_optimizer_that_is_not_fused_agrees_to_rounding() -> None:
    make, data = partial(network, "dann"), rows()
    history, _ = fitted("cpu", make, data, optimizer="nadam")
    other, _, gpu = on_gpu(make, data, optimizer="nadam")  # torch updates all weights at once there
    same(history, other, rtol=1e-4, atol=1e-6)
    check_steps(gpu)


def test_bfloat16_is_autocast_of_the_device() -> None:
    make, data = partial(network, "dann,vat,mmd"), rows()
    history, _ = fitted("cpu", make, data)
    other, weights, gpu = on_gpu(make, data, precision="bfloat16")
    for name in ("class_loss", "domain_loss"):
        np.testing.assert_allclose(other[name], history[name], rtol=0.03)
        assert other[name] != history[name]
    assert {value.dtype for value in weights.values()} == {torch.float32, torch.bool}
    assert set(gpu.autocasts) == {"cuda"}
    assert gpu.autocasts["cuda"] >= EPOCHS * STEPS
    check_steps(gpu)


def test_heads_with_a_tail_a_penalty_and_more_steps_do() -> None:
    dann = METHODS["dann"](gradient_penalty=0.1, tail=0.5, steps=2, spectral_norm=True, smoothing=0.1)
    compare(partial(network, [dann, METHODS["cramer"](tail=0.3), METHODS["pivot"](nuisance="z")]), rows(), updates=2)


def test_several_domains_and_variations_do() -> None:
    compare(partial(network, "dann", domains=3), rows(domains=3))
    source, target = rows()
    several = DomainRows(np.concatenate([target.features] * 2), weights={"domain": np.ones(2 * N)}, partners=2)
    compare(partial(network, "mmd", masks=()), (source, several))


def test_rows_that_do_not_fit_reach_the_device_in_one_copy_a_step() -> None:
    gpu = compare(partial(network, "dann,mmd"), rows(), transfers=1, memory=10_000)
    sizes = {event.size for events in gpu.steps for event in events if event.kind == "in"}
    assert max(sizes) >= 2 * BATCH * 4 * (6 + 5)


def test_rows_that_are_read_or_computed_reach_the_device_in_one_copy_a_step() -> None:
    source, target = rows()
    matrix, numbers = torch.from_numpy(np.concatenate([source.features, target.features])), np.arange(N)
    read = tuple(
        DomainRows(features, part.targets, part.weights, part.masks)
        for features, part in (
            (RowSubset(matrix, numbers), source),
            (RowSubset(matrix, numbers + N), target),
        )
    )
    compare(partial(network, "dann"), read, transfers=1)
    computed = tuple(
        DomainRows(ComputedRows(torch.arange(N) + first, matrix.__getitem__), part.targets, part.weights, part.masks)
        for first, part in ((0, source), (N, target))
    )
    compare(partial(network, "dann"), computed, transfers=1)


def test_rows_that_are_on_the_device_already_stay_there() -> None:
    source, target = rows()
    history, _ = fitted("cpu", network, (source, target))
    with PretendedCuda() as gpu, steps_of(gpu):
        there = [
            DomainRows(torch.from_numpy(part.features).to(CUDA), part.targets, part.weights, part.masks)
            for part in (source, target)
        ]
        other, _ = fitted("cuda", network, tuple(there))
        moved = [event.size for event in gpu.events if event.kind == "in" and "resident" in event.where]
        assert moved == [4 * 4 * N] * 2  # targets and weights of two heads
    same(history, other)
    check_steps(gpu)


IMAGES = {
    "small": lambda: image_encoder(
        ImageModelConfig(width=4, features=8, batch_norm="domain", normalise="image"), 3, 12
    ),
    "channel means": lambda: image_encoder(ImageModelConfig(width=4, features=8, normalise="mean"), 3, 12),
}


@pytest.mark.parametrize(("encoder", "memory"), [("small", 10**10), ("small", 1000), ("channel means", 10**10)])
def test_images_are_changed_and_encoded_on_the_device(encoder: str, memory: int) -> None:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 255, (N, 12, 12, 3), dtype=np.uint8).transpose(0, 3, 1, 2) for _ in range(2)]
    change = augmentation(list(CHANGES))
    data = (
        DomainRows(pixels[0], {"class": np.arange(N) % 2}, {"class": np.ones(N)}, transform=change),
        DomainRows(pixels[1], transform=augmentation(["shift"])),
    )
    make = partial(network, "dann", encoder=IMAGES[encoder], weight=None, transform=change)
    settings: dict[str, Any] = {"channels_last": True, "epochs": EPOCHS}
    gpu = compare(make, data, transfers=int(memory == 1000), memory=memory, **settings)
    if memory == 1000:  # as bytes, not as floats
        assert max(event.size for events in gpu.steps for event in events) < 2 * BATCH * (3 * 12 * 12 + 64)


SPEECH = {
    "feedforward": lambda: FeedForward(17, 4, [16, 8], 0.1),
    "convolutional": lambda: Convolutional(17, 4, 4, 8, 0.1, domains=True),
    "recurrent": lambda: Recurrent(3, 4, 8, 1),
}


@pytest.mark.parametrize("encoder", SPEECH)
def test_encoders_of_speech_do(encoder: str) -> None:
    windows = torch.randn(2 * N, 3 if encoder == "recurrent" else 17, 4, generator=torch.Generator().manual_seed(2))
    change = partial(blanked, most=(2, 4))
    data = tuple(
        DomainRows(
            ComputedRows(torch.arange(N) + first, windows.__getitem__), targets, {"class": np.ones(N)}, transform=change
        )
        for first, targets in ((0, {"class": np.arange(N) % 3}), (N, {}))
    )
    make = partial(network, "dann,pseudo", 3, encoder=SPEECH[encoder], weight=None, transform=change)
    compare(make, data, transfers=1, held_out=data)


@pytest.mark.parametrize("name", ENCODERS)
def test_set_encoders_count_nothing_on_the_device_and_agree_with_the_cpu(name: str) -> None:
    n = 2 * BATCH
    data = tuple(
        DomainRows(set_rows(n, seed), targets, {"class": np.ones(n), "domain": np.ones(n)})
        for seed, targets in ((0, {"class": np.arange(n) % 2}), (1, {}))
    )

    def make() -> Network:
        with seeded(4):
            encoder = ENCODERS[name](LAYOUT)
            parts, _ = build("dann", Comparison(16, 2, weight="domain"))
            return Network(encoder, [Head("class", mlp(16, [], 1), weight="class"), *parts])

    history, trained = fitted("cpu", make, data, precision="float64")
    other, weights, gpu = on_gpu(make, data, precision="float64")
    same(history, other, rtol=1e-9, atol=1e-12)
    for key, value in trained.state_dict().items():
        torch.testing.assert_close(value, weights[key], rtol=1e-7, atol=1e-9)
    check_steps(gpu)


def test_dropout_of_sets_leaves_absent_objects_at_zero_on_the_device() -> None:
    with PretendedCuda():
        settings = TransformerSettings(width=8, layers=2, pairwise=PAIR_FEATURES, dropout=0.3)
        encoder = SetTransformer(LAYOUT, settings).to(CUDA)
        x = set_rows(12)
        changed = x.clone()
        changed[:, 1:31].view(12, 6, 5)[torch.arange(6) >= x[:, :1] - 0.5] = 7.0  # of places without an object
        with seeded(2):
            first = encoder(x.to(CUDA))
        with seeded(2):
            second = encoder(changed.to(CUDA))
        assert torch.equal(first.cpu(), second.cpu())


# ---- validation, scorers, checkpoints, predictions ----


@pytest.mark.parametrize("scorer", SCORERS)
def test_every_scorer_takes_a_network_on_the_device(scorer: str) -> None:
    source, target = rows(n=60)
    expected = SCORERS[scorer](network().eval(), source, target)
    with PretendedCuda():
        assert SCORERS[scorer](network().to(CUDA).eval(), source, target) == expected


def test_a_training_continues_from_its_checkpoint_on_either_device(tmp_path: Path) -> None:
    make, data = partial(network, "dann"), rows(n=2 * BATCH)
    settings: dict[str, Any] = {"epochs": 3, "batch_size": BATCH, "average": 0.9, "kernels": "plain", "patience": 5}

    def interrupted(device: str, path: Path, then: str) -> History:
        def stop(history: History) -> None:
            if history.epochs == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Trainer(**settings, device=device).fit(make(), *data, validation=data, checkpoint=path, on_epoch=stop)
        again = Trainer(**settings, device=then)
        return again.fit(make(), *data, validation=data, checkpoint=path, resume=True)

    whole = Trainer(**settings, device="cpu").fit(make(), *data, validation=data)
    with PretendedCuda():
        same(interrupted("cuda", tmp_path / "a", "cuda"), whole)
        same(interrupted("cuda", tmp_path / "b", "cpu"), whole)
        same(interrupted("cpu", tmp_path / "c", "cuda:0"), whole)


@pytest.mark.parametrize("kind", [DANNClassifier, DANNRegressor])
def test_estimators_train_and_predict_on_the_device(kind: Any) -> None:
    source, target = rows()
    y = source.targets["class"] if kind is DANNClassifier else source.targets["z"]
    settings: dict[str, Any] = {"encoder": (8,), "epochs": 2, "random_state": 0, "batch_size": BATCH}

    def predictions(device: str) -> list[Any]:
        model = kind(**settings, device=device).fit(source.features, y, X_target=target.features)
        return [model.predict(target.features), model.transform(target.features)]

    expected = predictions("cpu")
    with PretendedCuda() as gpu, steps_of(gpu):
        found = predictions("cuda")
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_predictions_wait_once_however_many_batches_they_have() -> None:
    with PretendedCuda() as gpu:
        trained = network().to(CUDA)
        x = rows()[0].features
        few = [trained.predict(x, batch=48), gpu.count("out")]
        many = [trained.predict(x, batch=12), gpu.count("out") - few[1]]
        np.testing.assert_allclose(few[0], many[0], rtol=1e-6)
        assert few[1] == many[1] == 1


def test_a_saved_network_is_the_same_from_both_devices(tmp_path: Path) -> None:
    network().save(tmp_path / "cpu.safetensors")
    with PretendedCuda():
        network().to(CUDA).save(tmp_path / "gpu.safetensors")
    assert (tmp_path / "cpu.safetensors").read_bytes() == (tmp_path / "gpu.safetensors").read_bytes()


def test_a_game_waits_once_an_epoch() -> None:
    def game(device: str, turns: int) -> Game:
        with seeded(0):
            modules = [mlp(2, [4], 1).to(device) for _ in range(2)]
        players = [
            Player(name, module, torch.optim.SGD(module.parameters(), 0.1))
            for name, module in zip("ab", modules, strict=True)
        ]

        def loss(module: nn.Module, update: int, random: torch.Generator) -> Tensor:
            x: Tensor = module(torch.randn(8, 2, generator=random, device=random.device))
            return x.square().mean()

        rules = {name: Rules(partial(loss, module)) for name, module in zip("ab", modules, strict=True)}
        return Game(players, rules, turns, epochs=2, device=device)

    expected = train(game("cpu", 4))
    waits = []
    for turns in (4, 8):
        with PretendedCuda() as gpu:
            history = train(game("cuda", turns))
        waits.append(gpu.count("out"))
        if turns == 4:
            same(expected, history)
    assert waits[0] == waits[1] == 2


# ---- which device, its memory, exact numbers ----


def test_a_device_that_is_not_there_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda", "cuda:1"):
        with pytest.raises(ConfigError, match=r"built without CUDA.*take cpu or auto"):
            devices.find(name)
        with pytest.raises(ConfigError, match="built without CUDA"):
            DANNClassifier(device=name, epochs=1).fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(ConfigError, match="none of torch"):
        devices.find("gpu")
    assert devices.find("auto") == torch.device("cpu")
    with PretendedCuda():
        assert devices.find("auto") == devices.find("cuda") == CUDA
        with pytest.raises(ConfigError, match="finds 1 CUDA devices here; there is only cuda:0"):
            devices.find("cuda:1")
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
        with pytest.raises(ConfigError, match=r"torchrun started 2 processes .* --nproc-per-node 1"):
            devices.find("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match=r"no CUDA device here, CUDA_VISIBLE_DEVICES is ''; `nvidia-smi`"):
        devices.find("cuda")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=str,
)
def test_a_full_memory_is_an_error_that_says_what_fills_it(error: Exception) -> None:
    content = r"Pretended GPU .* is full.*192 rows of shape \(6,\) in steps of 64.* a step keeps .* GB"
    with (
        PretendedCuda(),
        mock.patch.object(Objective, "__call__", mock.Mock(side_effect=error)),
        pytest.raises(TrainingError, match=content) as raised,
    ):
        fitted("cuda", network, rows())
    assert "smaller batch_size" in str(raised.value)
    assert str(raised.value).endswith(f"torch says: {str(error).splitlines()[0]}")


def test_the_bytes_that_a_step_keeps_are_those_of_its_saved_tensors() -> None:
    module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    # the input, and the output of the activation, which is kept for itself and as the input of the last layer
    assert devices.bytes_for_gradients(module, (100, 6)) == 4 * 100 * (6 + 16)

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[: int(x.sum())]

    assert devices.bytes_for_gradients(Counting(), (4, 2)) is None
    assert devices.bytes_for_gradients(network("dann"), (1000, 6)) > 4 * 1000 * (6 + 16 + 8)


def test_bfloat16_needs_a_gpu_that_computes_in_it() -> None:
    with (
        PretendedCuda(bfloat16=False),
        pytest.raises(ConfigError, match=r"in which Pretended GPU .*not compute"),
    ):
        fitted("cuda", network, rows(), precision="bfloat16")


def test_numbers_are_reproducible_on_a_gpu_and_settings_of_the_caller_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    found = []

    def flags() -> tuple[Any, ...]:
        cudnn = torch.backends.cudnn
        return (
            torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32,
            torch.utils.deterministic.fill_uninitialized_memory,
        )  # fmt: skip

    before = flags()
    with PretendedCuda():
        source, target = rows()
        Trainer(epochs=1, device="cuda").fit(network(), source, target, on_epoch=lambda _: found.append(flags()))
    assert found == [(True, True, False, False, False)]
    assert flags() == before
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_trainings_that_share_a_gpu_are_few() -> None:
    assert devices.trainings_at_once("cpu", 16) == devices.trainings_at_once("auto", 16) == 16
    assert devices.trainings_at_once("cuda", 16) == devices.TRAININGS_AT_ONCE
    assert devices.trainings_at_once("cuda:0", 2) == 2


def test_random_numbers_of_a_gpu_are_touched_only_by_a_training_on_it() -> None:
    with PretendedCuda(), mock.patch.object(torch.cuda, "get_rng_state", side_effect=AssertionError("was asked")):
        fitted("cpu", network, rows())
        with pytest.raises(AssertionError, match="was asked"):
            fitted("cuda", network, rows())


def test_workers_of_torchrun_send_tensors_of_either_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    begun = []
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **_: begun.append(backend))
    distributed.init()
    with PretendedCuda(), mock.patch.object(torch.cuda, "set_device", side_effect=AssertionError("there is one GPU")):
        distributed.init()
    assert begun == ["gloo", "cpu:gloo,cuda:nccl"]


# ---- the pretended device finds what it is for ----


def test_the_pretended_device_refuses_what_a_device_refuses() -> None:
    with PretendedCuda() as gpu:
        here, there = torch.ones(3, 3), torch.ones(3, 3, device="cuda")
        assert there.device == CUDA
        assert (there * 2.0).device == (there + torch.tensor(1.0)).device == there[0].device == CUDA
        for mixes in (lambda: here + there, lambda: here @ there, lambda: torch.cat([here, there])):
            with pytest.raises(MixedDevicesError):
                mixes()
        with pytest.raises(MixedDevicesError):
            torch.rand(3, device="cuda", generator=torch.Generator())
        with pytest.raises(TypeError, match="numpy"):
            np.asarray(there)
        assert not gpu.events
        assert there.cpu().device == torch.device("cpu")
        assert [event.kind for event in gpu.events] == ["out"]


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: x.sum().item(), lambda x: bool(x.sum() > 0), lambda x: x[x > 0], lambda x: x.nonzero(),
        lambda x: x.tolist(), lambda x: torch.tensor([1.0], device=x.device), lambda x: x.new_tensor([1.0]),
        lambda x: x[torch.tensor([0])],
    ],
)  # fmt: skip
def test_the_pretended_device_counts_what_waits(waits: Callable[[Tensor], Any]) -> None:
    with PretendedCuda() as gpu:
        x = torch.ones(3, device="cuda")
        assert not gpu.count("wait", "out")
        waits(x)
        assert gpu.count("wait", "out") >= 1


def test_a_pinned_buffer_may_not_be_filled_while_it_is_copied() -> None:
    with PretendedCuda() as gpu:
        batch = PinnedBatch([torch.empty(4, 2), torch.empty(4, 1, dtype=torch.float64)], CUDA)
        for number in range(4):
            parts = batch.to_fill()
            for part in parts:
                part.fill_(float(number))
            there = batch.upload()
            assert [value.device for value in there] == [CUDA, CUDA]
            assert all(bool((value == number).all()) for value in there)
        assert sum(event.kind == "in" for event in gpu.events) == 4
    with PretendedCuda():
        batch = PinnedBatch([torch.empty(4, 2)], CUDA)
        (part,) = batch.to_fill()
        batch.upload()
        with pytest.raises(OverwrittenError):
            part.fill_(1.0)
