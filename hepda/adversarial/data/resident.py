"""Tables that stay on a GPU during a training, where they fit."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hepda.adversarial import devices
from hepda.adversarial.data.batches import DomainTable
from hepda.adversarial.data.sources import RowSource


def table_bytes(*tables: DomainTable | None) -> int:
    """Return the bytes of features and columns; features that are read or computed batch by batch do not count."""
    present = [table for table in tables if table is not None]
    stored = [t.features for t in present if isinstance(t.features, Tensor)] + [t.columns for t in present]
    return sum(values.numel() * values.element_size() for values in stored)


def resident(
    source: DomainTable, target: DomainTable | None, device: torch.device
) -> tuple[DomainTable, DomainTable | None]:
    """Return the tables on a device if they fit there, so that batches are gathered on it; else as they are.

    Features that are read or computed batch by batch stay where they are. Features and columns of both tables are on
    one device afterwards.
    """
    tables = [table for table in (source, target) if table is not None]
    stored = [table.features for table in tables if isinstance(table.features, Tensor)]
    place = torch.device("cpu")
    if device.type == "cuda" and len(stored) == len(tables) and devices.fits(table_bytes(source, target), device):
        place = device
    return _moved(source, place), None if target is None else _moved(target, place)


def _moved(table: DomainTable, device: torch.device) -> DomainTable:
    features = table.features if isinstance(table.features, RowSource) else table.features.to(device)
    return replace(table, features=features, columns=table.columns.to(device))
