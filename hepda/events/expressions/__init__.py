"""Expressions of the analysis file over flat and jagged columns."""
