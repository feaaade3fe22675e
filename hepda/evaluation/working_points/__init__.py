"""Thresholds on outputs of models: what they are chosen for, the choice, and judging them on other events."""
