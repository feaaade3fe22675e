"""Figures of numbers, one file per family: arrays and evaluation's dataclasses in, matplotlib Figures out."""
