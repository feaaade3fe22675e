"""Checks of the normalisation of samples, of single samples and of several together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hepda.config.events.reading import NormalisationConfig
from hepda.config.problems import given, unknown

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig

NORMALISING = (
    "cross_section", "k_factor", "filter_efficiency", "scale", "sum_of_weights", "luminosity", "normalisation",
)  # fmt: skip


def truths(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for a truth of pseudo-data that does not say which events are signal, or of which class."""
    for name, sample in config.samples.items():
        truth, path = sample.truth, f"samples.{name}.truth"
        if truth is None:
            continue
        if truth.signal is None and not truth.classes:
            yield f"{path}.signal: is missing: a condition for signal, or `classes` with one for each class."
        for class_name in truth.classes:
            if class_name not in config.class_names:
                yield unknown(f"{path}.classes", class_name, "class of the samples", config.class_names)
        absent = [class_name for class_name in config.class_names if class_name not in truth.classes]
        if truth.classes and absent:
            yield f"{path}.classes: has no condition for {', '.join(absent)}; give one for each class."


def data(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for each key of a sample that has no effect: data are counted, not normalised."""
    for name, sample in config.samples.items():
        if sample.is_data:
            for key in given(sample, *NORMALISING):
                yield (
                    f"samples.{name}.{key}: data are not normalised, and a sample without a class is data; "
                    f"give the sample a class or remove {key}."
                )
            continue
        if sample.truth is not None:
            yield f"samples.{name}.truth: the class of its events is known already; remove one of them."
        if config.normalisation is None and sample.normalisation is None:
            for key in given(sample, "cross_section", "sum_of_weights", "luminosity"):
                yield f"samples.{name}.{key}: has no effect with `normalisation: null`; remove one of them."


def normalisations(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem if the sum of weights has several sources, or a bin is given without a histogram."""
    named = {"normalisation": config.normalisation}
    named |= {f"samples.{name}.normalisation": sample.normalisation for name, sample in config.samples.items()}
    for path, section in named.items():
        if section is None:
            continue
        if section.histogram is not None and section.events is not None:
            yield f"{path}.events: `histogram` gives the sum of weights already; remove one of them."
        if section.bin is not None and section.histogram is None:
            yield f"{path}.bin: is that of a histogram; name it by `histogram`."
        default = NormalisationConfig().sum_of_weights
        other = next((key for key in ("histogram", "events") if getattr(section, key) is not None), None)
        if other and section.sum_of_weights != default:
            yield f"{path}.sum_of_weights: `{other}` gives the sum of weights already; remove one of them."


def stitched(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem if stitched samples are not simulation of one kind, each in one group."""
    group_of: dict[str, str] = {}
    for group, members in config.stitched.items():
        path = f"stitched.{group}"
        if len(members) < 2:
            yield f"{path}: names {len(members)} sample; overlap takes two."
        kinds = set()
        for name in members:
            sample = config.samples.get(name)
            if sample is None:
                yield unknown(f"{path}.{name}", name, "sample", list(config.samples))
            elif sample.is_data:
                yield f"{path}.{name}: is data; only simulated samples are normalised, so only they are stitched."
            elif name in group_of:
                yield f"{path}.{name}: is in stitched.{group_of[name]} already; a sample has one group."
            else:
                group_of[name] = group
                kinds.add((sample.class_, sample.domain, sample.luminosity))
                if config.normalisation is None and sample.normalisation is None:
                    yield f"{path}.{name}: has no own luminosity with `normalisation: null`."
        if len(kinds) > 1:
            yield f"{path}: its samples differ in class, domain or luminosity; they cannot be one process."


def eras(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for each sample of an era that the analysis does not have."""
    for name, sample in config.samples.items():
        if sample.era is not None and sample.era not in config.eras:
            yield unknown(f"samples.{name}.era", sample.era, "era of `luminosity`", config.eras)
    for name, section in config.systematics.items():
        if section.eras is not None or not section.correlated.eras:  # with eras they are replaced by samples
            yield f"systematics.{name}: the analysis has no eras; give `luminosity` by era, or remove them here."


CHECKS = (data, eras, truths, normalisations, stitched)
