"""The rows and weights of every head and term, as columns of a table that is made before the loop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.adversarial.data.batches import Column, DomainRows, DomainTable, as_tensor
from hepda.adversarial.data.sources import RowSource
from hepda.adversarial.networks.network import Head, Network
from hepda.adversarial.networks.term import Term
from hepda.errors import ConfigError, DataError, nearest

_SMALL = (torch.uint8, torch.float16, torch.bfloat16)  # stay as they are stored, until they are in a batch


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """The rows (by domain) and columns (by number) of a head in a batch."""

    source: bool
    target: bool
    columns: slice
    weight: int

    def rows(self, values: Tensor, n_source: int) -> Tensor:
        """Return its rows of a batch's values [n, ...], of which the first `n_source` are source.

        If they are all rows, it is no slice: autograd would copy the gradient of one.
        """
        if self.source and (self.target or len(values) == n_source):
            return values
        return values[:n_source] if self.source else values[n_source:]


def _lookup(kind: str, name: str, head: Head | Term, domain: str, rows: DomainRows) -> Column:
    table: Mapping[str, Column] = getattr(rows, kind)
    if name not in table:
        names = ", ".join(table) or "none"
        raise ConfigError(
            f"head {head.name!r} needs {kind}[{name!r}] of the {domain} rows, which have {names}.{nearest(name, table)}"
        )
    return table[name]


def is_domain_head(head: Head, source: DomainRows, target: DomainRows | None) -> bool:
    """Return whether a head separates the two domains: its target is `domain` and the rows have no such target."""
    return (
        head.key == "domain" and "domain" not in source.targets and (target is None or "domain" not in target.targets)
    )


def reads(head: Head, source: DomainRows, target: DomainRows | None) -> tuple[bool, bool]:
    """Return whether a head is trained on source rows, and on target rows."""
    if head.rows in ("source", "target", "both"):
        used = head.rows in ("source", "both"), head.rows in ("target", "both")
    else:
        if head.rows not in source.masks and (target is None or head.rows not in target.masks):
            names = sorted({*source.masks, *(target.masks if target else ())})
            raise ConfigError(
                f"head {head.name!r} is trained on rows {head.rows!r}: no mask of that name; "
                f"there are source, target, both, {', '.join(names)}.{nearest(head.rows, names)}"
            )
        # a mask in both domains: a domain without the target (unlabelled data) is not used
        used = True, True
        if not is_domain_head(head, source, target):
            used = head.key in source.targets, target is not None and head.key in target.targets
    if target is None and is_domain_head(head, source, target):
        return False, False
    return used[0], used[1] and target is not None


def _weight(head: Head | Term, rows: DomainRows, domain: str) -> Tensor:
    if head.weight is None:
        weight = torch.ones(len(rows), dtype=torch.float64)
    else:
        weight = as_tensor(_lookup("weights", head.weight, head, domain, rows)).to("cpu", torch.float64)
        if not bool(torch.isfinite(weight).all()):
            raise DataError(f"weights[{head.weight!r}] of the {domain} rows holds NaN or infinity")
    if head.rows in rows.masks and head.rows not in ("source", "target", "both"):
        weight = weight * as_tensor(rows.masks[head.rows]).to("cpu", torch.float64)
    return weight


def _balanced(weights: dict[str, Tensor], head: Head, sizes: dict[str, int]) -> dict[str, Tensor]:
    """Scale both domains to one sum of signed weights in a batch, so that a blind domain head loses ln 2."""
    sums = {domain: float(w.sum()) for domain, w in weights.items()}
    for domain, total in sums.items():
        if not total > 0.0:
            raise DataError(
                f"head {head.name!r}: the weights of its {domain} rows add up to {total:g}; a domain needs a positive "
                "sum. Check its mask and weights, or set balance=False"
            )
    mean = {domain: w * (len(w) / sums[domain]) for domain, w in weights.items()}
    return {domain: w * (sizes["source"] / sizes[domain]) for domain, w in mean.items()}


def _balanced_domains(
    weights: dict[str, Tensor], targets: dict[str, Tensor], head: Head, sizes: dict[str, int]
) -> dict[str, Tensor]:
    """Do the same for domains by number, in the targets of source and target rows."""
    numbers = {side: target[:, 0].long() for side, target in targets.items()}
    domains = 1 + max(int(number.max()) for number in numbers.values())
    in_batch = torch.zeros(domains, dtype=torch.float64)
    for side, number in numbers.items():
        in_batch.index_add_(0, number, weights[side] * (sizes[side] / len(number)))
    empty = [number for number in range(domains) if not in_batch[number] > 0.0]
    if empty:
        raise DataError(
            f"head {head.name!r}: the weights of the rows of domain {empty[0]} (0 is the source) add up to "
            f"{float(in_batch[empty[0]]):g} in a batch; a domain needs a positive sum. Check its mask and weights, or "
            "set balance=False"
        )
    return {side: weights[side] * (sizes["source"] / in_batch)[number] for side, number in numbers.items()}


def chance(head: Head, source: DomainRows, target: DomainRows | None) -> float | None:
    """Return the loss of a head of the domain that guesses among domains of equal weight; None for another head."""
    if is_domain_head(head, source, target):
        return math.log(2.0)
    if head.key != "domain" or head.loss != "multiclass":
        return None
    sides = [rows.targets["domain"] for rows in (source, target) if rows is not None and "domain" in rows.targets]
    return math.log(1 + max(int(as_tensor(values).max()) for values in sides)) if sides else None


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """A table for each domain, and a layout for each head and term that is trained."""

    source: DomainTable
    target: DomainTable | None
    layouts: dict[str, ColumnLayout]
    terms: dict[str, ColumnLayout]


def batch_layout(
    network: Network, source: DomainRows, target: DomainRows | None, sizes: tuple[int, int] | None = None
) -> BatchLayout:
    """Lay out targets and weights of all heads and terms as columns, once, before the loop.

    A head that separates domains, or a term, is omitted if its target weights are all zero; if nothing uses the target
    then, there is none: a training with zero target weights is, to the last bit, one without a target.

    Args:
        network: the network, whose heads and terms name what they use.
        source: rows of the source domain.
        target: rows of the target domain, or None.
        sizes: rows of each domain in a batch; None: as many as there are.

    Raises:
        ConfigError: a target, weight or mask of a head does not exist.
        DataError: values that are not finite, or a domain whose weights do not add up to more than 0.

    """
    dtype = next(network.parameters()).dtype
    domains = {"source": source} | ({"target": target} if target is not None else {})
    batch = dict(zip(domains, sizes or (len(source), len(target or ())), strict=False))
    columns: dict[str, list[Tensor]] = {domain: [] for domain in domains}
    layouts: dict[str, ColumnLayout] = {}
    terms: dict[str, ColumnLayout] = {}
    width = 0
    for head in network.heads.values():
        used = dict(zip(("source", "target"), reads(head, source, target), strict=True))
        weights = {domain: _weight(head, domains[domain], domain) for domain in domains if used[domain]}
        compares = is_domain_head(head, source, target)
        if not weights or (compares and _no_target(weights)):
            if not compares and target is not None:
                raise ConfigError(f"head {head.name!r} has no rows to train on; its target is {head.key!r}")
            continue
        if compares and head.balance and len(weights) == 2:
            weights = _balanced(weights, head, batch)
        targets = _target_columns(head, source, target, used, dtype)
        if (scale := network.target_scale(head)) is not None:
            if not bool(scale.fitted):  # by the training rows; those of the validation come later
                scale.fit(targets["source"], weights["source"])
            targets = {domain: scale.standardised(values) for domain, values in targets.items()}
        if head.key == "domain" and head.loss == "multiclass" and head.balance and len(weights) == 2:
            weights = _balanced_domains(weights, targets, head, batch)
        size = next(iter(targets.values())).shape[1]
        for domain, rows in domains.items():
            columns[domain].append(targets.get(domain, torch.zeros(len(rows), size, dtype=dtype)))
            columns[domain].append(_column(weights.get(domain), len(rows), dtype))
        layouts[head.name] = ColumnLayout(used["source"], used["target"], slice(width, width + size), width + size)
        width += size + 1
    for term in network.terms if target is not None else ():
        weights = {domain: _weight(term, rows, domain) for domain, rows in domains.items()}
        if _no_target(weights):
            continue
        for domain, rows in domains.items():
            columns[domain].append(_column(weights[domain], len(rows), dtype))
        terms[term.name] = ColumnLayout(True, True, slice(width, width), width)
        width += 1
    stored = {domain: _features(rows, domain, dtype) for domain, rows in domains.items()}
    _check_same_shape(stored)
    tables = {
        domain: DomainTable(stored[domain], torch.cat(columns[domain], dim=1), rows.transform, rows.partners)
        for domain, rows in domains.items()
    }
    read = any(layout.target for layout in layouts.values()) or terms
    return BatchLayout(tables["source"], tables.get("target") if read else None, layouts, terms)


def _no_target(weights: dict[str, Tensor]) -> bool:
    return "target" in weights and not bool(weights["target"].any())


def _column(weight: Tensor | None, rows: int, dtype: torch.dtype) -> Tensor:
    return torch.zeros(rows, 1, dtype=dtype) if weight is None else weight.to(dtype)[:, None]


def _target_columns(
    head: Head, source: DomainRows, target: DomainRows | None, used: dict[str, bool], dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return the targets of a head as float columns, by domain."""
    targets: dict[str, Tensor] = {}
    for number, (domain, rows) in enumerate((("source", source), ("target", target))):
        if rows is None or not used[domain]:
            continue
        if is_domain_head(head, source, target):
            targets[domain] = torch.full((len(rows), 1), float(number), dtype=dtype)
            continue
        values = as_tensor(_lookup("targets", head.key, head, domain, rows)).to("cpu", dtype)
        values = values[:, None] if values.dim() == 1 else values.flatten(1)
        if not bool(torch.isfinite(values).all()):
            raise DataError(f"targets[{head.key!r}] of the {domain} rows holds NaN or infinity")
        if head.loss == "binary" and not bool(((values >= 0) & (values <= 1)).all()):
            raise DataError(
                f"targets[{head.key!r}] of the {domain} rows must be between 0 and 1 for head {head.name!r}"
            )
        targets[domain] = values
    return targets


def _features(rows: DomainRows, domain: str, dtype: torch.dtype) -> Tensor | RowSource:
    if isinstance(rows.features, RowSource):
        return rows.features
    features = as_tensor(rows.features)
    if features.dtype not in _SMALL:
        features = features.to(dtype)
    if features.dim() < 2:
        raise DataError(f"the {domain} features have shape {tuple(features.shape)}; a row needs columns: [n, k]")
    return features


def _check_same_shape(stored: dict[str, Tensor | RowSource]) -> None:
    """Raise DataError if the rows of the domains, which are joined in a batch, differ in shape or type."""
    kinds = {domain: (tuple(rows.shape[1:]), str(rows.dtype)) for domain, rows in stored.items()}
    if len(set(kinds.values())) > 1:
        descriptions = "; ".join(f"{domain} rows {shape}, {kind}" for domain, (shape, kind) in kinds.items())
        raise DataError(f"the domains have features of different shape or type: {descriptions}")
