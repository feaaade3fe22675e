"""Events as sets: collections of objects of an analysis, and the encoders that read them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Strict, Tag

from hepda.config.section import Columns, Expression, Identifier, Names, Section, Widths

PairFeature = Literal["kt", "z", "delta_r", "mass"]
Component = Identifier | Literal[0]


class CollectionConfig(Section):
    """Objects of one kind: jets, a lepton, the missing transverse momentum. Set encoders read them."""

    max: Annotated[int, Field(ge=1, le=200)] | None = None
    """How many objects of an event are kept, in the order of the lists; null: the features are one number per event,
    and the collection is one object. `hepda check` prints the share that is cut off."""
    features: Annotated[dict[Identifier, Expression], Field(min_length=1)]
    """The numbers of an object by name, as expressions: lists of one length per event, e.g. `pt: jet_pt[good]`."""
    four_momentum: (
        Annotated[tuple[Component, Component, Component, Component], Strict(strict=False)] | None
    ) = None  # fmt: skip
    """The features that are pt, eta, phi and mass, 0 for one that is 0: `[pt, eta, phi, mass]`, `[met, 0, phi, 0]`.
    They may be in another frame (phi relative to the lepton), the same for all collections."""

    @property
    def size(self) -> int:
        """Return the largest number of objects that is kept."""
        return self.max or 1

    @property
    def columns(self) -> int:
        """Return the number of columns of an event: the number of objects, and the features of each."""
        return 1 + self.size * len(self.features)


class SetEncoderConfig(Section):
    """What a set encoder reads; activation and dropout are those of the network."""

    collections: Annotated[Names, Field(min_length=1)]
    """Collections of the analysis that it reads."""
    features: Columns = ()
    """Flat features that it reads as well; a transformer takes them as one more token."""
    width: Annotated[int, Field(ge=1, le=4096)] = 64
    """The width of all layers, and of the embedding."""
    log_energies: bool = True
    """pt and mass of four-momenta enter as ln(1 + x), x in the unit of the files."""


class DeepSetsConfig(SetEncoderConfig):
    """A network of each object, a sum or mean over the objects of each collection, a network of these."""

    kind: Literal["deepsets"]
    """A network of each object, then a sum over them (arXiv:1703.06114)."""
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    """The number of layers of the network of each object, and of that behind the sum."""
    pooling: Literal["sum", "mean"] = "sum"
    """What is taken over the objects of a collection."""


class TransformerConfig(SetEncoderConfig):
    """A transformer of the objects, with a class token whose last vector is the embedding."""

    kind: Literal["transformer"]
    """Attention among the objects (arXiv:2202.03772)."""
    layers: Annotated[int, Field(ge=1, le=100)] = 3
    """Number of blocks; of the last one only the class token is needed."""
    heads: Annotated[int, Field(ge=1, le=256)] = 4
    """The number of heads of the attention; they share the width."""
    feed_forward: Annotated[int, Field(ge=1, le=16)] = 2
    """The hidden width of the network within a block, in units of `width`."""
    pairwise: bool | Annotated[tuple[PairFeature, ...], Strict(strict=False), Field(min_length=1)] = True
    """Bias attention by features of each pair of objects, the logarithms of kT, z, Delta R and m^2; or a list of some
    of them, of `kt`, `z`, `delta_r`, `mass`."""

    @property
    def pair_features(self) -> tuple[PairFeature, ...]:
        """Return the features of pairs that bias the attention."""
        if isinstance(self.pairwise, bool):
            return ("kt", "z", "delta_r", "mass") if self.pairwise else ()
        return self.pairwise


SetEncoder = DeepSetsConfig | TransformerConfig


def _kind_of_encoder(value: Any) -> str | None:
    """Return which of the encoders a value of the key `encoder` is: a list of widths, or the kind of set encoder."""
    if isinstance(value, dict):
        kind = value.get("kind")
        return None if kind is None else str(kind)
    return str(getattr(value, "kind", "widths"))


EncoderConfig = Annotated[
    Annotated[Widths, Field(min_length=1), Tag("widths")]
    | Annotated[DeepSetsConfig, Tag("deepsets")]
    | Annotated[TransformerConfig, Tag("transformer")],
    Discriminator(_kind_of_encoder),
]
"""A list of widths, or a set encoder; one message for a wrong value, that of the kind that is meant."""
