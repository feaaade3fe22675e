"""The network of a model of speech: an encoder of windows, a senone head, and domain heads or terms."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from torch import nn

from hepda.adversarial import Head, Network, Reversal, mlp, seeded
from hepda.adversarial.methods import Comparison, build
from hepda.adversarial.networks.term import Term
from hepda.speech.dataset.subsets import context_of
from hepda.speech.sounds.bank import blanked
from hepda.speech.training.encoders import Convolutional, FeedForward, Recurrent

if TYPE_CHECKING:
    from hepda.config import SpeechModelConfig
    from hepda.config.speech.recognition import SpeechDomainConfig
    from hepda.speech.dataset.material import Material
    from hepda.speech.recognition.senones import Aligner
    from hepda.speech.training.jobs import SpeechJob

DOMAIN = "domain"
"""The head that learns the noise, the room or the domain."""
STRONG = (16, 16)
"""Largest numbers of bands and steps that are blanked in the second view of an unlabelled window."""


def classes_of(section: SpeechModelConfig, material: Material, noises: tuple[int, ...]) -> int:
    """Return the number of classes of the domain head."""
    of = None if section.domain is None else section.domain.of
    return {"noise": len(noises) + 1, "room": len(material.rooms) + 1}.get(of or "", 2)


def network_of(job: SpeechJob, section: SpeechModelConfig, aligner: Aligner, width: int, classes: int) -> Network:
    """Build the encoder, the senone head and, if the model has a domain, its head or terms."""
    steps, senones = job.config.frames.context.steps, aligner.lexicon.senones
    with seeded(job.seed):
        encoder, features = encoder_of(section, steps, width, context_of(job.config).middle)
        heads = [Head("senone", mlp(features, (), senones), loss="multiclass")]
        domain = section.domain
        terms: list[Term] = []
        if domain is not None and domain.of == "target":
            comparison = Comparison(features, senones, "senone", transform=partial(blanked, most=STRONG))
            domain_heads, terms = build(domain.methods(), comparison)
            heads += domain_heads
        elif domain is not None and domain.alpha:
            heads.append(_label_head(domain.alpha, domain, features, classes))
    metadata = {"model": job.model, "fold": job.fold, "member": job.member, "names": aligner.lexicon.names()}
    return Network(encoder, heads, terms=terms, normalization=None, metadata=metadata)


def _label_head(alpha: float, domain: SpeechDomainConfig, features: int, classes: int) -> Head:
    """Return a head that learns the noise or the room: reversed if alpha is above 0, a second task if it is below."""
    return Head(
        DOMAIN,
        mlp(features, domain.head, classes),
        loss="multiclass",
        scale=1.0 if alpha > 0.0 else -alpha,
        reversal=Reversal(alpha, domain.schedule, domain.warmup) if alpha > 0.0 else None,
        rate=domain.learning_rate_factor,
        smoothing=domain.smoothing,
    )


def encoder_of(section: SpeechModelConfig, steps: int, width: int, middle: int) -> tuple[nn.Module, int]:
    """Return the encoder of a model and the width of its output.

    Args:
        section: settings of the model.
        steps: steps of a window.
        width: features of a step.
        middle: the step of the frame itself.

    """
    if section.encoder == "feedforward":
        return FeedForward(steps, width, section.layers, section.dropout), section.layers[-1]
    if section.encoder == "recurrent":
        return Recurrent(steps, width, section.features, middle), section.features
    domains = section.batch_norm == "domain"
    encoder = Convolutional(steps, width, section.channels, section.features, section.dropout, domains=domains)
    return encoder, section.features
