"""Data sets by their names in an analysis file: images for training and images for testing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.images import ImageSetConfig
from hepda.datasets import download
from hepda.errors import DataError
from hepda.images.arrays import Images, digit_names, entry, limited, shaped, some_of_each, trimmed
from hepda.images.sources import blending, formats, shifted, synthetic
from hepda.images.sources.signs import SIGNS, drawn_signs

SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Input of a loader: the section of the analysis file, the number of rows and columns, and the seed."""

    section: ImageSetConfig
    size: int
    seed: int


Pair = tuple[Images, Images]
"""Images for training, and images for testing."""


def load(section: ImageSetConfig, size: int, channels: int, seed: int) -> Pair:
    """Return the training and test images of one domain, converted to one shape.

    Args:
        section: section of the analysis file.
        size: rows and columns of the images.
        channels: 1 or 3 channels.
        seed: seed of everything that is drawn at random.

    Raises:
        SourceError: the data set is missing (the message says how to get it), or a file has unexpected content.
        DataError: the margin leaves too few pixels, or a class has fewer images than are to have labels.
        MissingExtraError: an extra is needed.

    """
    train, test = LOADERS[section.data](LoadRequest(section, size, seed))
    train = limited(train, section.limit, seed)
    if section.labels_per_class is not None:
        _check_labels(train, section.labels_per_class)
    trimmed_images = (trimmed(images, section.margin) for images in (train, test))
    first, second = (shaped(images, size, channels) for images in trimmed_images)
    return first, second


def _check_labels(train: Images, number: int) -> None:
    """Raise DataError, before anything is trained, if a class has fewer than `number` images."""
    try:
        some_of_each(train.label, number, seed=0)
    except DataError as error:
        raise DataError(f"source.labels_per_class: {error}.") from error


def check(section: ImageSetConfig) -> str:
    """Return one line of text that lists the files or folders of a data set.

    Raises:
        SourceError: the data set is missing.

    """
    needed = _NEEDS.get(section.data, ())
    paths = [str(path) for name in needed for path in download.path_of(name)]
    if section.train is not None:
        for folder in (section.train, section.test):
            if folder is not None and not Path(folder).is_dir():
                formats.folders(Path(folder), 8)  # raises an error that names the problem
        paths = [folder for folder in (section.train, section.test) if folder]
    return f"{section.title}: {', '.join(paths) or 'made here, no files'}"


def _grey(pixels: NDArray[np.uint8], label: NDArray[Any], about: tuple[dict[str, Any], ...]) -> Images:
    return Images(pixels[:, None], label.astype(np.int64), digit_names(), about)


def _mnist(request: LoadRequest | None = None) -> Pair:
    """Read 60,000 + 10,000 digits from the IDX files, or from the pickle with 50,000 + 10,000 + 10,000 of them."""
    paths = download.path_of("mnist")
    if len(paths) == 1:
        first, second, test = formats.mnist_pickle(paths[0])
        train = np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
        return tuple(_grey(x, y, (entry(paths[0], len(y)),)) for x, y in (train, test))  # type: ignore[return-value]
    x, y, x_test, y_test = (formats.idx(path) for path in paths)
    about = [(entry(image, len(image_labels)), entry(label, len(image_labels))) for image, label, image_labels in (
        (paths[0], paths[1], y), (paths[2], paths[3], y_test))]  # fmt: skip
    return _grey(x, y, about[0]), _grey(x_test, y_test, about[1])


def _mnist_m(request: LoadRequest) -> Pair:
    """Blend MNIST into photographs: those of the train split of BSDS500 for train, those of its test split for test."""
    parts = []
    for number, (split, digits) in enumerate(zip(SPLITS, _mnist(), strict=True)):
        photos, folders, remark = blending.photographs(split)
        pixels = blending.blended(digits.pixels[:, 0], photos, seed=1000 * request.seed + number)
        about = (*digits.about, *({"folder": str(folder), "photographs": len(photos)} for folder in folders))
        remarks = (remark,) if remark else ()
        parts.append(replace(digits, pixels=pixels, about=about, remarks=remarks))
    return parts[0], parts[1]


def _usps(request: LoadRequest) -> Pair:
    paths = download.path_of("usps")
    if len(paths) == 1:
        return tuple(  # type: ignore[return-value]
            _grey(*part, (entry(paths[0], len(part[1])),)) for part in (formats.usps_npz(paths[0], s) for s in SPLITS)
        )
    return tuple(  # type: ignore[return-value]
        _grey(*part, (entry(path, len(part[1])),)) for path, part in ((p, formats.usps_text(p)) for p in paths)
    )


def _svhn(request: LoadRequest) -> Pair:
    paths = download.path_of("svhn")
    return tuple(  # type: ignore[return-value]
        Images(*part, digit_names(), (entry(path, len(part[1])),))
        for path, part in ((path, formats.svhn_mat(path)) for path in paths)
    )


def _gtsrb(request: LoadRequest) -> Pair:
    train, images, truth = download.path_of("gtsrb")
    first, second = formats.gtsrb_train(train, request.size), formats.gtsrb_test(images, truth, request.size)
    about = (entry(train, len(first[1])),), (entry(images, len(second[1])),)
    return Images(*first, SIGNS, about[0]), Images(*second, SIGNS, about[1])


def _office31(request: LoadRequest) -> Pair:
    """Read one domain of Office-31.

    The protocol is fully transductive, as is usual for this data set: all images are used for training (without labels
    in the target) and for testing.
    """
    paths, part = download.path_of("office31"), request.section.part or ""
    if len(paths) == 1:
        pixels, label, classes, _ = formats.office31_archive(paths[0], part, request.size)
        about = entry(paths[0], len(label))
    else:
        folder = next(path for path in paths if path.name == part)
        folder = folder / "images" if (folder / "images").is_dir() else folder
        pixels, label, classes, _ = formats.folders(folder, request.size)
        about = {"folder": str(folder), "images": len(label)}
    remark = f"all images of {part} are trained on and tested on (the transductive protocol of the papers)"
    images = Images(pixels, label, classes, (about,), (remark,))
    return images, images


def _folders(request: LoadRequest) -> Pair:
    section = request.section
    train = formats.folders(Path(section.train or ""), request.size)
    images = Images(*train[:3], ({"folder": section.train, "images": len(train[1])},))
    if section.test is None:
        held_out = formats.fifth(train[3])
        return images.take(~held_out), images.take(held_out)
    pixels, label, classes, _ = formats.folders(Path(section.test), request.size)
    numbers = np.array([train[2].index(name) if name in train[2] else -1 for name in classes])
    return images, Images(pixels, numbers[label], train[2], ({"folder": section.test, "images": len(label)},))


def _synthetic_digits(request: LoadRequest) -> Pair:
    n = request.section.images
    return synthetic.drawn_digits(n, 2 * request.seed), synthetic.drawn_digits(max(1, n // 10), 2 * request.seed + 1)


def _synthetic_signs(request: LoadRequest) -> Pair:
    n = request.section.images
    return drawn_signs(n, 2 * request.seed), drawn_signs(max(1, n // 10), 2 * request.seed + 1)


LOADERS: dict[str, Callable[[LoadRequest], Pair]] = {
    "mnist": _mnist,
    "mnist_m": _mnist_m,
    "usps": _usps,
    "svhn": _svhn,
    "synthetic_digits": _synthetic_digits,
    "synthetic_signs": _synthetic_signs,
    "gtsrb": _gtsrb,
    "office31": _office31,
    "digits": lambda request: shifted.digits(),
    "all_digits": lambda request: shifted.all_digits(),
    "shifted_digits": lambda request: shifted.shifted_digits(request.seed),
    "folders": _folders,
}
_NEEDS = {name: (name,) for name in ("mnist", "usps", "svhn", "gtsrb", "office31")} | {"mnist_m": ("mnist",)}
