"""Which domains are held out: nothing is trained on them, so that they can tell whether a result generalises."""

from __future__ import annotations

from collections.abc import Mapping

from hepda.config import SampleConfig


def held_out(samples: Mapping[str, SampleConfig], *, with_truth: bool = False) -> tuple[str, ...]:
    """Return the held-out domains, in the order of the samples.

    Args:
        samples: the samples of the analysis.
        with_truth: also domains of pseudo-data whose truth is given, which only a fit uses.

    Returns:
        The domains that have simulation and only with `use: evaluate`; then those of the pseudo-data.

    """
    simulated = [sample for sample in samples.values() if sample.class_ is not None]
    trained = {sample.domain for sample in simulated if sample.use == "train"}
    pseudo = [sample.domain for sample in samples.values() if sample.truth is not None] if with_truth else []
    return tuple(dict.fromkeys([*(s.domain for s in simulated if s.domain not in trained), *pseudo]))
