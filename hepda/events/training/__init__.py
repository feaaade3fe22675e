"""Trainings on events: tensors, reweighting, jobs, and scores of saved models."""
