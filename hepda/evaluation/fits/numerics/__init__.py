"""Interpolations of HistFactory, and Newton's method on many small problems in parallel."""
