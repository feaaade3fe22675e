"""Scores to numbers: arrays in, frozen dataclasses out. Import from the modules; this file imports nothing."""
