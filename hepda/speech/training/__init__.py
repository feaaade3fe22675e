"""Trainings of acoustic models."""
