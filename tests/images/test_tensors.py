"""What happens to images as tensors: changes of training images, blending, encoders, and what a training is made of."""

import numpy as np
import pytest
import torch

from hepda.adversarial import DomainBatchNorm, DomainRows, Network
from hepda.adversarial.data.batches import as_tensor, channels_last
from hepda.config import validate_any
from hepda.config.images import ImageDomainConfig, ImageModelConfig
from hepda.errors import ConfigError, DataError, SourceError
from hepda.images import augmentation
from hepda.images.arrays import Images, digit_names
from hepda.images.encoders import PixelInputs, encoder, heads, width_of
from hepda.images.sources import blending, synthetic
from hepda.images.training import (
    BALANCED,
    ImageJob,
    balanced,
    build_network,
    channel_means,
    empty_network,
    load_network,
    read_part,
    rows_of,
    write_parts,
)
from hepda.runtime.jobs import run_job
from hepda.runtime.pool import one_thread


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def images(n=64, channels=3, size=28, seed=1):
    return torch.rand((n, channels, size, size), generator=generator(seed)) * 255.0


@pytest.mark.parametrize("name", augmentation.CHANGES)
def test_changes_are_those_of_the_generator_and_keep_the_range(name):
    change, x = augmentation.augmentation([name]), images()
    changed, same, other = change(x, generator(3)), change(x, generator(3)), change(x, generator(4))
    assert torch.equal(changed, same) and not torch.equal(changed, other) and not torch.equal(changed, x)
    assert changed.shape == x.shape and float(changed.min()) >= -1e-3 and float(changed.max()) <= 255.001
    assert torch.equal(x, images())  # the rows that were given are as they were


def test_a_shift_moves_every_image_by_itself_and_loses_nothing_inside():
    x = torch.zeros((200, 1, 28, 28))
    x[:, :, 14, 14] = 255.0
    moved = augmentation.shift(x, generator())
    at = {tuple(place[2:].tolist()) for place in moved.nonzero()}
    assert moved.sum() == x.sum() and at == {(row, column) for row in range(12, 17) for column in range(12, 17)}


def test_half_of_the_images_are_inverted():
    x = images(2000, 1, 4)
    changed = augmentation.invert(x, generator())
    inverted = (changed == 255.0 - x).flatten(1).all(dim=1)
    assert 900 < int(inverted.sum()) < 1100 and torch.equal(changed[~inverted], x[~inverted])


def test_a_warp_by_nothing_is_nothing_and_a_turn_by_half_is_a_point_reflection():
    x, zero, ones = images(3, 1, 9), torch.zeros(3), torch.ones(3)
    assert torch.allclose(augmentation.warped(x, zero, ones, zero, torch.zeros(3, 2)), x, atol=1e-3)
    turned = augmentation.warped(x, torch.full((3,), torch.pi), ones, zero, torch.zeros(3, 2))
    assert torch.allclose(turned, x.flip(2, 3), atol=0.05)


def test_a_blur_keeps_the_mean_of_a_smooth_image_and_its_width():
    x = torch.zeros((2, 1, 31, 31))
    x[:, :, 15, 15] = 1.0
    sigma = torch.tensor([0.7, 1.0])
    spread = synthetic.smoothed(x, sigma)
    place = torch.arange(31.0) - 15.0
    assert torch.allclose(spread.sum(dim=(1, 2, 3)), torch.ones(2))
    width = (spread.sum(dim=2)[:, 0] * place**2).sum(dim=1).sqrt()
    assert torch.allclose(width, sigma, rtol=0.02)  # cut off at three pixels


def reference_blend(digits, photos, seed):
    """The same by a loop over images."""
    draw = torch.Generator().manual_seed(seed)
    n, rows, columns = digits.shape
    which = torch.randint(len(photos), (n,), generator=draw).numpy()
    at = torch.rand((2, n), generator=draw, dtype=torch.float64).numpy()
    blended = []
    for i in range(n):
        photo = photos[which[i]]
        top = int(at[0, i] * (photo.shape[0] - rows + 1))
        left = int(at[1, i] * (photo.shape[1] - columns + 1))
        patch = photo[top : top + rows, left : left + columns].astype(int)
        blended.append(np.abs(patch - digits[i][:, :, None].astype(int)).transpose(2, 0, 1))
    return np.array(blended, np.uint8)


def test_blending_is_the_loop_that_it_replaces():
    rng = np.random.default_rng(1)
    photos = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((40, 30, 3), (28, 60, 3), (29, 28, 3))]
    digits = rng.integers(0, 256, (50, 28, 28), dtype=np.uint8)
    blended = blending.blended(digits, photos, seed=7)
    assert np.array_equal(blended, reference_blend(digits, photos, 7))
    with pytest.raises(DataError, match="at least that size"):
        blending.blended(digits, [photos[0][:20]], seed=7)


def test_without_photographs_those_of_scikit_image_are_taken_or_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPDA_DATA", str(tmp_path))
    monkeypatch.setenv("HEPDA_DATASETS", str(tmp_path))
    try:
        photos, places, remark = blending.photographs("train")
    except SourceError as error:
        assert "hepda[photographs]" in str(error) and "hepda data fetch bsds500" in str(error)
        return
    assert len(photos) >= 3 and places == [] and "cannot be compared" in remark
    other = blending.photographs("test")[0]
    assert all(not np.array_equal(a, b) for a, b in zip(photos, other, strict=True))


@pytest.mark.parametrize(
    ("name", "size", "features", "parameters"),
    [
        ("paper-mnist", 28, 48 * 4 * 4, 3 * 32 * 25 + 32 + 32 * 48 * 25 + 48),
        ("paper-svhn", 32, 128 * 8 * 8, 3 * 64 * 25 + 64 + 64 * 64 * 25 + 64 + 64 * 128 * 25 + 128),
        ("paper-signs", 40, 256 * 5 * 5, 3 * 96 * 25 + 96 + 96 * 144 * 9 + 144 + 144 * 256 * 25 + 256),
    ],
)
def test_the_papers_networks_have_the_papers_sizes(name, size, features, parameters):
    section = ImageModelConfig(encoder=name, domain=ImageDomainConfig())
    network = encoder(section, 3, size)
    assert width_of(network, 3, size) == features
    assert sum(p.numel() for p in network.parameters()) == parameters
    widths = {"paper-mnist": ((100, 100), (100,)), "paper-svhn": ((3072, 2048), (1024, 1024))}
    assert heads(section) == widths.get(name, ((512,), (1024, 1024)))


def test_the_small_network_has_statistics_a_domain_unless_told_otherwise():
    kinds = {"domain": DomainBatchNorm, "joint": torch.nn.BatchNorm2d}
    for word, kind in kinds.items():
        network = encoder(ImageModelConfig(batch_norm=word, width=4, features=8), 1, 16)
        assert any(isinstance(layer, kind) for layer in network.modules())
        assert width_of(network, 1, 16) == 8
    none = encoder(ImageModelConfig(batch_norm="none", width=4, features=8), 1, 16)
    assert not any("Norm" in type(layer).__name__ for layer in none.modules())


def test_images_are_normalised_each_by_itself_or_by_the_mean_of_the_source():
    x = images(5)
    normalised = PixelInputs(3, "image")(x)
    assert torch.allclose(normalised.mean(dim=(1, 2, 3)), torch.zeros(5), atol=1e-5)
    assert torch.allclose(normalised.std(dim=(1, 2, 3)), torch.ones(5), atol=1e-2)
    mean = PixelInputs(3, "mean")
    mean.mean.copy_(channel_means(x.to(torch.uint8).numpy()))
    assert torch.allclose(mean(x.to(torch.uint8).float()).mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5)


@pytest.fixture
def table(tmp_path):
    """Two classes that differ by where they are bright; the target is the negative of the source."""
    rng = np.random.default_rng(1)
    label = np.arange(96) % 2
    pixels = rng.integers(0, 40, (96, 1, 8, 8), dtype=np.uint8)
    pixels[label == 1, :, :4] += 180
    parts = {"source": pixels, "target": 255 - pixels}
    sets = {
        f"{side}_{split}": Images(pair[chosen], label[chosen].astype(np.int64), digit_names()[:2])
        for side, pair in parts.items()
        for split, chosen in (("train", slice(0, 64)), ("test", slice(64, 96)))
    }
    write_parts(sets, tmp_path / "table")
    return tmp_path / "table"


@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_back_from_disk_with_channels_last(tmp_path, channels):
    pixels = np.random.default_rng(1).integers(0, 256, (7, channels, 4, 5), dtype=np.uint8)
    images = Images(pixels, np.zeros(7, dtype=np.int64), digit_names())
    write_parts({"source_train": images}, tmp_path)
    stored = read_part(tmp_path, "source_train").pixels
    assert np.array_equal(stored, pixels) and isinstance(stored, np.memmap)
    assert channels_last(as_tensor(stored)) == (channels == 3)


def config_of(**model):
    return validate_any({
        "name": "a", "kind": "images", "source": {"data": "digits"}, "target": {"data": "shifted_digits"},
        "pixels": {"size": 8, "channels": 1}, "models": {"m": {"width": 4, "features": 8, **model}},
        "training": {"epochs": 3, "batch_size": 32},
    })  # fmt: skip


def test_the_target_gives_pixels_and_no_labels(table):
    section = config_of(domain={"method": "dann"}).models["m"]
    source, target = rows_of(section, table)
    assert isinstance(target, DomainRows) and target.targets == {} and target.weights == {}
    assert np.array_equal(source.targets["class"], read_part(table, "source_train").label)
    assert rows_of(config_of().models["m"], table)[1] is None
    both = rows_of(config_of(train_on="both").models["m"], table)[0]
    assert len(both) == 128


@pytest.mark.parametrize("channels", [1, 3])
def test_few_labels_are_balanced_repeated_and_drawn_by_the_seed(tmp_path, channels):
    generator = np.random.default_rng(2)
    label = generator.permutation(np.repeat([0, 1, 2], [40, 20, 10]))
    pixels = generator.integers(0, 256, (70, channels, 8, 8), dtype=np.uint8)
    write_parts({"source_train": Images(pixels, label, digit_names()[:3])}, tmp_path)
    section = config_of().models["m"]

    def chosen(rows):
        same = (np.asarray(rows.features)[:, None] == pixels[None]).all(axis=(2, 3, 4))
        assert np.array_equal(rows.targets["class"], label[same.argmax(axis=1)])
        return np.unique(same.argmax(axis=1), return_counts=True)

    numbers, repeated = chosen(rows_of(section, tmp_path, 4, seed=5)[0])
    assert np.bincount(label[numbers]).tolist() == [4, 4, 4] and repeated.sum() == 70 and np.ptp(repeated) <= 1
    assert np.array_equal(numbers, chosen(rows_of(section, tmp_path, 4, seed=5)[0])[0])
    assert not np.array_equal(numbers, chosen(rows_of(section, tmp_path, 4, seed=6)[0])[0])
    assert len(chosen(rows_of(section, tmp_path)[0])[0]) == 70


def test_few_labels_leave_the_unlabelled_images_and_the_ceiling_alone(table):
    section = config_of(domain={"method": "pseudo"}).models["m"]
    source, target = rows_of(section, table, 3, seed=1)
    assert len(source) == len(target) == 64 and len(np.unique(np.asarray(source.features), axis=0)) == 6
    assert np.array_equal(target.features, read_part(table, "target_train").pixels)
    ceiling = rows_of(config_of(train_on="target").models["m"], table, 3, seed=1)[0]
    assert np.array_equal(ceiling.features, read_part(table, "target_train").pixels)
    both = rows_of(config_of(train_on="both").models["m"], table, 3, seed=1)[0]
    assert len(np.unique(np.asarray(both.features), axis=0)) == 6 + 64


def test_the_target_may_be_changed_in_another_way_than_the_source(table):
    section = {"augment": ["invert"], "domain": {"method": "dann"}}
    source, target = rows_of(config_of(**section).models["m"], table)
    assert source.transform is target.transform
    source, target = rows_of(config_of(**section, augment_target=[]).models["m"], table)
    assert source.transform.names == ("invert",) and target.transform is None
    source, target = rows_of(config_of(**section, augment_target=["shift"]).models["m"], table)
    assert target.transform.names == ("shift",)


def test_balanced_classes_count_the_same_in_every_loss(table):
    label = np.array([3, 0, 0, 0, 3, 7])
    weight = balanced(label)
    assert [weight[label == number].sum() for number in (0, 3, 7)] == pytest.approx([2.0, 2.0, 2.0])
    section = config_of(balance=True, domain={"method": "dann,mcc"}).models["m"]
    network = empty_network(section, 1, 8, 2)
    parts = [*network.heads.values(), *network.terms]
    assert {part.weight for part in parts} == {BALANCED}
    source, target = rows_of(section, table)
    assert source.weights[BALANCED].sum() == pytest.approx(64.0) and np.ptp(target.weights[BALANCED]) == 0.0
    assert rows_of(config_of().models["m"], table)[0].weights == {}


def test_a_saved_network_says_what_it_said(table, tmp_path):
    section = config_of(domain={"method": "dann"}).models["m"]
    network = build_network(section, 1, 8, table, seed=3)
    network.save(tmp_path / "m.safetensors")
    pixels = read_part(table, "target_test").pixels
    again = load_network(tmp_path / "m.safetensors", section, 1, 8, 2)
    assert np.array_equal(network.eval().predict(pixels, head="class"), again.predict(pixels, head="class"))
    assert torch.equal(again.encoder[0].mean, network.encoder[0].mean) and float(again.encoder[0].mean) > 0


@pytest.mark.parametrize("method", ["dann", "cdan", "mmd", "coral", "mcc", "dann,pseudo", "none"])
def test_every_method_trains_and_leaves_classes_and_probabilities(method, table, tmp_path):
    (tmp_path / "work").mkdir()
    config = config_of(domain={"method": method}, augment=["shift"], normalise="image")
    job = ImageJob(config.seed, "m", 0, 0, table, tmp_path / "run", tmp_path / "work", "cpu", "plain", config=config)
    with one_thread():
        done = run_job(None, job, lambda *_: None)
    assert done.score.shape == (64, 2) and done.about["epochs"] == 3
    assert np.allclose(done.score.sum(axis=1), 1.0, atol=1e-6) and done.score.min() > 0.0
    assert len(done.history["target_accuracy"]) == 3
    assert isinstance(load_network(job.folder / "fold0-member0.safetensors", config.models["m"], 1, 8, 2), Network)


def test_a_scorer_chooses_the_epoch_without_target_labels(table, tmp_path):
    (tmp_path / "work").mkdir()
    config = config_of(domain={"method": "dann"}, training={"scorer": "nuclear-norm"})
    job = ImageJob(config.seed, "m", 0, 0, table, tmp_path / "run", tmp_path / "work", "cpu", "plain", config=config)
    with one_thread():
        done = run_job(None, job, lambda *_: None)
    assert "score" in done.history and done.about["best_epoch"] is not None


def test_views_of_self_training_come_on_top_of_the_augmentation():
    section = config_of(domain={"method": "dann,pseudo", "view": ["cutout"], "threshold": 0.8}, augment=["shift"])
    (term,) = empty_network(section.models["m"], 1, 8, 2).terms
    assert term.transform.names == ("shift", "cutout") and term.threshold == 0.8


def test_a_model_of_a_crop_sees_nothing_else():
    section = ImageModelConfig(crop=(2, 1, 6), width=4, features=8, batch_norm="none")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = encoder(section, 1, 10).eval()
    x = torch.rand(3, 1, 10, 10, generator=torch.Generator().manual_seed(2)) * 255.0
    changed = torch.zeros_like(x)
    changed[:, :, 2:8, 1:7] = x[:, :, 2:8, 1:7]
    assert width_of(network, 1, 10) == 8 and torch.equal(network(changed), network(x))
    changed[:, :, 7, 6] += 90.0
    assert not torch.equal(network(changed), network(x))


def test_a_crop_that_goes_beyond_the_images_is_told():
    data = {"name": "x", "kind": "images", "source": {"data": "digits"}, "target": {"data": "shifted_digits"},
            "pixels": {"size": 8}, "models": {"a": {"crop": [3, 0, 6]}}}  # fmt: skip
    with pytest.raises(ConfigError, match=r"models\.a\.crop: goes beyond images of 8 x 8 pixels"):
        validate_any(data, "test")
