"""Inspections of generators that somebody else trained: parameters, outputs, and what is hidden among the codes."""
