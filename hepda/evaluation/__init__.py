"""Scores to numbers: arrays in, frozen dataclasses out. Import from its modules: this file is empty."""
