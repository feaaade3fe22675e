"""The analysis file of images (`kind: images`) as frozen types, with the checks that cross its sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from hepda.adversarial.methods import METHODS
from hepda.config.base import BaseConfig
from hepda.config.events.model_checks import check_method, methods_of, too_large
from hepda.config.models import (
    AdversaryConfig,
    MeanFusionConfig,
    Scorer,
    TrainingConfig,
    kind_of_model,
    method_union,
)
from hepda.config.problems import given, unknown
from hepda.config.section import Count, Epochs, Fraction, Name, Positive, Section, Width, Widths

DATA = (
    "mnist", "mnist_m", "usps", "svhn", "synthetic_digits", "synthetic_signs", "gtsrb", "office31", "digits",
    "all_digits", "shifted_digits", "folders",
)  # fmt: skip
"""Data sets that `hepda.images.sets` loads."""

Augmentation = Literal["shift", "affine", "contrast", "colour", "noise", "blur", "cutout", "invert"]


class ImageSetConfig(Section):
    """The images of one domain, split into those to train on and those to test on."""

    data: str
    """mnist, mnist_m, usps, svhn, synthetic_digits, synthetic_signs, gtsrb, office31, digits (half of scikit-learn's
    8 x 8), shifted_digits (the other half, changed), all_digits (both, unchanged), or folders (a folder a class)."""
    name: Name | None = None
    """Its name in tables and figures; null: as `data`."""
    part: Literal["amazon", "dslr", "webcam"] | None = None
    """For `data: office31`: which of its domains."""
    train: str | None = None
    """For `data: folders`: the folder whose folders are the classes, relative to the analysis file."""
    test: str | None = None
    """For `data: folders`: the same for the images to test on; null: a fifth of `train`, by the hash of the file's
    name."""
    limit: Count | None = None
    """Images to train on at most, drawn with the seed; null: all."""
    labels_per_class: Count | None = None
    """For the source: so many images of each class have labels. Each training draws them with its own seed, equally
    for all models, and repeats them until they are as many as without this key, so that an epoch has as many steps;
    null: all have labels."""
    margin: Annotated[int, Field(ge=0, le=64)] = 0
    """Rows and columns that are cut off on every side before images are brought to one size: the digits of MNIST fill
    20 of their 28 pixels, those of USPS all 16."""
    images: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """For synthetic data: how many images are drawn to train on; a tenth as many to test on."""

    @property
    def title(self) -> str:
        """Its name in tables and figures."""
        return self.name or (self.part if self.part else self.data)


class PixelsConfig(Section):
    """Common shape of all images."""

    size: Annotated[int, Field(ge=8, le=512)] = 28
    """Rows and columns: smaller images are enlarged, larger ones shrunk (area average)."""
    channels: Literal[1, 3] = 3
    """1: grey; 3: colours, where grey images have three equal ones."""


class ImageDomainConfig(AdversaryConfig):
    """The domain loss between all source and all target images."""

    method: str | method_union(METHODS) = "dann"  # type: ignore[valid-type]
    """A method of the core, or several joined by commas: none, dann, cdan, cdan+e, pivot, mmd, joint-mmd, coral, disco,
    wasserstein, mdd, mcc, pseudo, contrast, vat, vada (`hepda schema` says what each is)."""
    head: Widths = (100,)
    """Hidden widths of the domain head."""
    threshold: Fraction = 0.9
    """With method `pseudo`: probability, relative to the mean one of the source, from which a target label is
    certain."""
    align: bool = True
    """With the methods `pseudo` and `contrast`: move the target's predictions to the class shares of the source before
    labels are taken, which prevents that all labels are of few classes; wrong if the target has other class shares."""
    view: tuple[Augmentation, ...] = Field(default=(), strict=False)
    """With the methods `pseudo` and `contrast`: how the second view of a target image is changed, beyond `augment`."""


class ImageTrainingConfig(TrainingConfig):
    """As for events; the weights are those of the last epoch unless a scorer chooses."""

    epochs: Epochs = 20
    """Passes over the source images at most."""
    batch_size: Annotated[int, Field(ge=1, le=2**24)] = 128
    """Source images of a step."""
    learning_rate: Positive = 2.0e-3
    """Learning rate at the maximum of the schedule."""
    patience: Count | None = None
    """Epochs without a better value of `scorer` before stopping; null trains all epochs."""
    scorer: Scorer | None = None
    """A scorer of the core that needs no target labels (`hepda schema` lists them), which chooses the epoch; null: the
    last epoch. With it, `patience` counts epochs without a better score."""


Pixel = Annotated[int, Field(ge=0, le=511)]


class ImageGanConfig(Section):
    """A generator of images, which the class head learns to tell from those of the target: the discriminator of
    Salimans et al. (arXiv:1606.03498), whose classes are those of the images and one more for what is generated.
    """

    latent: Annotated[int, Field(ge=1, le=4096)] = 100
    """Random numbers that an image is generated from."""
    hidden: Widths = (500, 500)
    """Hidden widths of the generator."""
    strength: Positive = 1.0
    """Factor on the losses of the images without labels and of the generated ones."""
    input_noise: Annotated[float, Field(ge=0.0)] = 0.3
    """Width of the noise that is added to the pixels in the training, after they are normalised."""
    noise: Annotated[float, Field(ge=0.0)] = 0.5
    """Width of the noise that is added to the input of every later layer in the training."""


class ImageModelConfig(Section):
    """An encoder, a class head and, with `domain:`, a domain loss, or with `gan:` generated images."""

    kind: Literal["network"] = "network"
    """A network, the only kind of model for images."""
    title: str | None = None
    """Its name in tables; null: its key."""
    encoder: Literal["paper-mnist", "paper-svhn", "paper-signs", "small", "resnet50"] = "small"
    """The papers' networks (Ganin & Lempitsky 2015, supplement), a small one (three convolutions, batch norm), or a
    ResNet-50 with pretrained weights (the extra `vision`)."""
    width: Annotated[int, Field(ge=1, le=1024)] = 16
    """With `encoder: small`: channels of the first convolution; the others have twice and four times as many."""
    features: Width = 128
    """Width of the encoder's output; the papers' networks have their own."""
    batch_norm: Literal["domain", "joint", "none"] = "domain"
    """With `encoder: small`: statistics of the batch norm for each domain, for both together, or no batch norm."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the units that are set to zero in a step."""
    normalise: Literal["mean", "image"] = "mean"
    """Channels to the mean and width of the source, or every image to mean 0 and width 1 by itself."""
    crop: tuple[Pixel, Pixel, Annotated[int, Field(ge=4, le=512)]] | None = Field(default=None, strict=False)
    """First row, first column, and rows and columns of the part of every image that the model reads; null: all of it.
    Models of several crops can be fused (`kind: fusion`)."""
    class_head: Widths = ()
    """Hidden widths of the class head; empty: one linear layer."""
    augment: tuple[Augmentation, ...] = Field(default=(), strict=False)
    """How training images of both domains are changed, at random. `invert` is knowledge about the shift from MNIST to
    MNIST-M; tables say so."""
    augment_target: Annotated[tuple[Augmentation, ...] | None, Field(strict=False)] = None
    """How training images of the target are changed, where this differs from the source; null: as `augment`."""
    balance: bool = False
    """Give every class of the labelled images the same weight in every loss, whatever its share of them: for a source
    whose shares are its own (USPS has twice as many 0 as 8)."""
    train_on: Literal["source", "target", "both"] = "source"
    """Images whose labels the class head learns; `target` is the ceiling, with labels that no adaptation uses."""
    domain: ImageDomainConfig | None = None
    """The domain loss; null: none, the network is a baseline."""
    gan: ImageGanConfig | None = None
    """Learn from images of the target without labels by a generator, in a game of two players; null: none. Its layers
    have normalised weights, so it needs `batch_norm: none`."""
    training: ImageTrainingConfig = ImageTrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""

    @property
    def adapts(self) -> bool:
        """Whether it learns from images of the target without labels."""
        return self.domain is not None or self.gan is not None


class ImageFusionConfig(MeanFusionConfig):
    """A fusion of models of images: of each seed, the mean of the logits of their classes."""


ImageEntry = Annotated[
    Annotated[ImageModelConfig, Tag("network")] | Annotated[ImageFusionConfig, Tag("fusion")],
    Discriminator(kind_of_model),
]
"""A network, which need not name its kind, or a fusion."""


class PublishedConfig(Section):
    """A published number, for the table of accuracies."""

    method: str
    """Name of the method in the publication."""
    accuracy: Fraction
    """The published accuracy on the target's test set."""
    by: str
    """Authors and year of the publication."""
    model: Name | None = None
    """The model of this analysis in whose row it is shown; null: at the end."""


class EmbeddingConfig(Section):
    """The figure of the embeddings of source and target."""

    method: Literal["pca", "tsne"] = "pca"
    """How the embedding is projected to two dimensions: principal components or t-SNE."""
    images: Annotated[int, Field(ge=1, le=100_000)] = 600
    """The number of images of each domain."""
    models: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    """Models that are drawn; empty: the first and the last that is trained only on labels of the source."""


class ImageEvaluationConfig(Section):
    """What is measured on test images."""

    track: Count | None = 2000
    """Target images whose accuracy is recorded in each epoch, only for a figure; null: none."""
    embedding: EmbeddingConfig = EmbeddingConfig()
    """The figure of the embedding."""
    confusion: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    """Models whose confusion matrices are drawn; empty: all."""
    published: tuple[PublishedConfig, ...] = Field(default=(), strict=False)
    """Published numbers, for the table."""


class FewShotConfig(Section):
    """Classes that no training sees, to be told apart by the features of the networks from few labelled images of each.

    An episode draws labelled images and others, the queries, of each of these classes. All images of the classes are
    taken, those to train on and those to test on; an image that occurs twice is taken once.
    """

    classes: Annotated[tuple[int | str, ...], Field(strict=False, min_length=2)]
    """Names of the classes; no network is trained on them, and they are not among the test images of the accuracy."""
    shots: Annotated[tuple[Annotated[int, Field(ge=1, le=1000)], ...], Field(strict=False, min_length=1)] = (1, 5)
    """Labelled images of each class."""
    queries: Annotated[int, Field(ge=1, le=1000)] = 15
    """Queries of each class in an episode."""
    episodes: Annotated[int, Field(ge=2, le=100_000)] = 200
    """How often labelled images and queries are drawn."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes as texts."""
        return tuple(map(str, self.classes))


class ImagesConfig(BaseConfig):
    """An analysis of images. Load it by `hepda.config.load_any`."""

    name: Name
    """The name of the analysis, of the run directory, and in figures and report."""
    kind: Literal["images"]
    """The kind of data: images."""
    source: ImageSetConfig
    """The images with labels, which are trained on."""
    target: ImageSetConfig
    """The images whose labels no adapted training uses."""
    pixels: PixelsConfig = PixelsConfig()
    """Common shape of all images."""
    models: Annotated[dict[Name, ImageEntry], Field(min_length=1)]
    """What is trained, by name."""
    training: ImageTrainingConfig = ImageTrainingConfig()
    """How networks are trained, unless a model has other values in its `training:`."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    """Trainings of each model, which differ in every random number."""
    evaluation: ImageEvaluationConfig = ImageEvaluationConfig()
    """What is measured on test images."""
    few_shot: FewShotConfig | None = None
    """Classes that are kept out of the trainings, and told apart from few labelled images; null: none."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The seed of every random number: equal seeds give equal results."""

    def problems(self) -> Iterator[str]:
        """Yield the problems that involve several sections."""
        for check in (_sets, _models, _names, _few_shot):
            yield from check(self)

    @property
    def networks(self) -> dict[str, ImageModelConfig]:
        """Return the models that are trained, by name: all but fusions."""
        return {name: model for name, model in self.models.items() if isinstance(model, ImageModelConfig)}

    @property
    def fusions(self) -> dict[str, ImageFusionConfig]:
        """Return the fusions by name."""
        return {name: model for name, model in self.models.items() if isinstance(model, ImageFusionConfig)}

    def adapts(self, model: str) -> bool:
        """Return whether a model learns from images of the target without labels, or fuses one that does."""
        section = self.models[model]
        parts = [model] if isinstance(section, ImageModelConfig) else section.of
        return any(self.networks[name].adapts for name in parts)


def _sets(config: ImagesConfig) -> Iterator[str]:
    yield from set_problems("source", config.source)
    yield from set_problems("target", config.target)
    if config.target.labels_per_class is not None:
        yield "target.labels_per_class: is for the source; no label of the target is learned, so remove it."


def set_problems(path: str, section: ImageSetConfig) -> Iterator[str]:
    """Yield what is wrong with a section that names images; `path` is its place in the analysis file."""
    if section.data not in DATA:
        yield unknown(f"{path}.data", section.data, "data set", DATA)
    if (section.data == "office31") != (section.part is not None):
        yield f"{path}.part: is given for office31, and only there: amazon, dslr or webcam."
    if (section.data == "folders") != (section.train is not None):
        yield f"{path}.train: is given for `data: folders`, and only there: the folder of the class folders."
    if section.test is not None and section.train is None:
        yield f"{path}.test: has no effect without `train`; remove it."


def _models(config: ImagesConfig) -> Iterator[str]:
    for name, model in config.networks.items():
        path = f"models.{name}"
        if model.encoder != "small" and given(model, "batch_norm"):
            yield f"{path}.batch_norm: has an effect only on `encoder: small`; remove it."
        if model.crop is not None and max(model.crop[:2]) + model.crop[2] > config.pixels.size:
            yield f"{path}.crop: goes beyond images of {config.pixels.size} x {config.pixels.size} pixels."
        if config.source.labels_per_class is not None and config.training.overridden_by(model.training).scorer:
            yield (
                f"{path}.training.scorer: source.labels_per_class repeats its images, so that those which are held out "
                "for the scorer are trained on as well; remove one of the two."
            )
        if model.train_on == "target" and model.domain is not None:
            yield f"{path}.domain: a model that is trained on the target's labels has no domain to adapt to; remove it."
        yield from too_large(f"{path}.class_head", (model.features, *model.class_head))
        if model.domain is not None:
            yield from too_large(f"{path}.domain.head", (model.features, *model.domain.head))
            yield from _domain(f"{path}.domain", model.domain)
        if model.gan is not None:
            yield from _gan(path, model, config.training.overridden_by(model.training))


def _gan(path: str, model: ImageModelConfig, training: TrainingConfig) -> Iterator[str]:
    if model.encoder != "small" or model.batch_norm != "none":
        yield f"{path}.gan: needs `encoder: small` with `batch_norm: none`: its layers have normalised weights instead."
    if model.domain is not None:
        yield f"{path}.gan: a model learns from images without labels by `gan` or by `domain`; remove one of the two."
    if model.train_on != "source":
        yield f"{path}.gan: a model that is trained on labels of the target has no images without labels; remove it."
    if model.dropout:
        yield f"{path}.dropout: the layers of a model with `gan` read noise instead (`gan.noise`); remove it."
    if model.augment_target is not None:
        yield f"{path}.augment_target: `gan` changes all images by `augment`; remove it."
    if training.scorer is not None:
        yield f"{path}.training.scorer: a game of two players is trained for all its epochs; remove the scorer."
    if training.precision == "bfloat16":
        yield f"{path}.training.precision: a game of two players is trained in float32; remove it for this model."


def _domain(path: str, domain: ImageDomainConfig) -> Iterator[str]:
    known = yield from check_method(path, domain, "images")
    if not known:
        return
    for key in given(domain, "threshold", "align", "view"):
        if not {"pseudo", "contrast"} & set(methods_of(domain)):
            yield f"{path}.{key}: has an effect only with the methods pseudo and contrast; remove it."


def _names(config: ImagesConfig) -> Iterator[str]:
    lists = {
        "evaluation.embedding.models": config.evaluation.embedding.models,
        "evaluation.confusion": config.evaluation.confusion,
        "evaluation.published": [number.model for number in config.evaluation.published if number.model is not None],
    }
    for path, names in lists.items():
        known = config.networks if path == "evaluation.embedding.models" else config.models
        for name in names:
            if name not in known:
                yield unknown(path, name, "model with an embedding" if name in config.models else "model", known)


def _few_shot(config: ImagesConfig) -> Iterator[str]:
    if config.few_shot is None:
        return
    for key, values in (("classes", config.few_shot.names), ("shots", config.few_shot.shots)):
        if len(set(values)) < len(values):
            yield f"few_shot.{key}: {', '.join(map(str, values))} has a value twice; remove one."
