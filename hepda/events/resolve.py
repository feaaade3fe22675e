"""From the analysis file of events to what its parts are evaluated, trained and drawn by: resolved once, here."""

from __future__ import annotations

from hepda.config import AnalysisConfig, EventFusionConfig, ModelConfig, NetworkConfig
from hepda.config.events.class_checks import labels_of
from hepda.config.events.domain_checks import domain_classes
from hepda.config.events.fit import FitConfig, output_names
from hepda.config.events.points import (
    EqualBackgroundPoint,
    PointConfig,
    SignificancePoint,
    domains_to_equal,
    models_with,
    selected_by,
)
from hepda.config.events.systematics import process_of, template_samples
from hepda.config.events.variations import variations_of
from hepda.events.domains.blinding import hidden_range
from hepda.events.domains.counterparts import SampleLayout, all_counterparts
from hepda.events.domains.spec import Domains, EvaluationSpec
from hepda.events.specs import (
    LABEL,
    Appearance,
    Classes,
    DatasetSpec,
    FitSpec,
    ModelSpec,
    PointSpec,
    RegionSpec,
    SystematicsSpec,
)


def evaluation_spec(config: AnalysisConfig) -> EvaluationSpec:
    """Return what determines the numbers of an evaluation.

    Raises:
        ConfigError: `evaluation.blind` is not one range of the score.

    """
    return EvaluationSpec(
        domains_of(config),
        model_specs(config),
        config.baseline_model,
        config.evaluation,
        config.seed,
        config.split.folds,
        classes_of(config),
    )


def classes_of(config: AnalysisConfig) -> Classes:
    """Return the classes of an analysis."""
    of_sample = {name: sample.class_ for name, sample in config.samples.items()}
    names = config.class_names
    return Classes(names, tuple(name for name in names if name in config.signal), of_sample)


def domains_of(config: AnalysisConfig) -> Domains:
    """Return the domains of an analysis and how they are compared.

    Raises:
        ConfigError: `evaluation.blind` is not one range of the score.

    """
    uses: dict[str, set[str]] = {name: set() for name in config.domains}
    for sample in config.samples.values():
        uses[sample.domain].add("data" if sample.is_data else sample.use)
    return Domains(
        config.nominal_domain,
        config.domains,
        data=tuple(name for name, of in uses.items() if of == {"data"}),
        held_out=tuple(name for name, of in uses.items() if of == {"evaluate"}),
        counterparts=all_counterparts(
            SampleLayout(config.samples, config.domains, classes_of(config), config.stitched)
        ),
        hidden=hidden_range(config.evaluation.blind, config.samples),
    )


def dataset_spec(config: AnalysisConfig) -> DatasetSpec:
    """Return what determines the table of events of an analysis."""
    return DatasetSpec(
        samples=config.samples,
        domains=config.domains,
        features=config.features,
        luminosity=config.luminosity,
        models=model_specs(config),
        systematics=systematics_spec(config),
        classes=classes_of(config),
        variables=config.variables,
        selection=config.selection,
        weight=config.weight,
        missing=config.missing,
        collections=config.collections,
        columns={**config.columns, **{f"{LABEL}{name}": text for name, text in config.labels.items()}},
        stitched=config.stitched,
        split=config.split,
        tree=config.tree,
        normalisation=config.normalisation,
        reading=config.reading,
        plots=tuple(config.plots),
        regions=fit_spec(config).regions,
    )


def fit_spec(config: AnalysisConfig) -> FitSpec:
    """Return what is fitted; without the section `fit`, there is one region, of the score of every event."""
    section_of_fit = config.fit or FitConfig()
    outputs = output_names(config)
    regions = {
        name: RegionSpec(
            name,
            section.selection,
            section.largest,
            section.variable.strip(),
            section.variable.strip() in outputs,
            section.bins,
            section.min_n_eff,
            section.role,
            section.passes,
            section.fails,
        )
        for name, section in section_of_fit.regions.items()
    }
    return FitSpec(regions, section_of_fit.pruning, section_of_fit.smoothing)


def systematics_spec(config: AnalysisConfig) -> SystematicsSpec:
    """Return what is uncertain in the templates of an analysis."""
    classes = classes_of(config)
    sides = {name: classes.side_of(name) for name in template_samples(config)}
    templates = {name: side for name, side in sides.items() if side is not None}
    processes = {name: process_of(config, name) for name in templates}
    return SystematicsSpec(templates, config.systematics, classes, processes)


def model_specs(config: AnalysisConfig) -> dict[str, ModelSpec]:
    """Return the models of an analysis by name, each with what is resolved of its training."""
    return {name: model_spec(config, name) for name in config.models}


def model_spec(config: AnalysisConfig, model: str) -> ModelSpec:
    """Return one model of an analysis with what is resolved of its training."""
    section, samples = config.models[model], config.training_samples(model)
    domain = section.domain if isinstance(section, NetworkConfig) else None
    encoder = section.set_encoder if isinstance(section, NetworkConfig) else None
    fused = tuple(model_spec(config, name) for name in section.of) if isinstance(section, EventFusionConfig) else ()
    collections = dict.fromkeys(name for part in fused for name in part.collections)
    collections |= {} if encoder is None else dict.fromkeys(encoder.collections)
    return ModelSpec(
        model,
        section,
        samples,
        trained_on=tuple(d for d in config.domains if any(config.samples[name].domain == d for name in samples)),
        adapted_to=_adapted_to(config, section),
        variations=() if domain is None else variations_of(config.systematics, domain.variation_names or ()),
        domain_classes=() if domain is None else domain_classes(config, domain),
        seed=config.seed_for(model),
        folds=config.split.folds,
        negative_weights=config.negative_weights,
        missing=config.missing,
        grouping=classes_of(config),
        discriminants=config.discriminants,
        collections={name: config.collections[name] for name in collections},
        categories=config.categories if encoder is None else {},
        event_labels=labels_of(section),
        points={
            name: _point_spec(config, point)
            for name, point in config.working_points.items()
            if model in models_with(config, point)
        },
        fused=fused,
    )


def _point_spec(config: AnalysisConfig, point: PointConfig) -> PointSpec:
    """Return a working point with what follows from other sections."""
    domain = None
    if isinstance(point, EqualBackgroundPoint):
        domain = point.domain or domains_to_equal(config)[0]
    stated = point.background_uncertainty if isinstance(point, SignificancePoint) else None
    uncertainty = config.evaluation.significance.background_uncertainty if stated is None else stated
    return PointSpec(point, selected_by(config, point), domain, uncertainty)


def _adapted_to(config: AnalysisConfig, section: ModelConfig) -> tuple[str, ...]:
    """Return the domains that a model is adapted to, by its domain loss or its reweighting.

    Variations of the source are no domains of the analysis. A fusion is adapted to those that its models are.
    """
    if isinstance(section, EventFusionConfig):
        parts = [_adapted_to(config, config.models[name]) for name in section.of]
        return tuple(dict.fromkeys(domain for part in parts for domain in part))
    domain = section.domain if isinstance(section, NetworkConfig) else None
    adapts = domain is not None and domain.method_name != "none"
    samples = domain.target_samples if domain is not None and adapts else ()
    if not adapts and section.reweight is not None:
        samples = section.reweight.target
    return tuple(dict.fromkeys(config.samples[name].domain for name in samples))


def appearance(config: AnalysisConfig) -> Appearance:
    """Return how the samples and features of an analysis are drawn."""
    luminosity = config.luminosity_label or config.luminosity
    regions = {} if config.fit is None else config.fit.regions
    labels = {name: section.label for name, section in {**config.systematics, **regions}.items() if section.label}
    return Appearance(
        config.samples, luminosity, classes_of(config), config.plots, config.missing, labels,
        config.experiment_label, config.energy,
    )  # fmt: skip
