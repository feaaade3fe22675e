"""Alignment terms: what acts on source and target without a reversed head."""
