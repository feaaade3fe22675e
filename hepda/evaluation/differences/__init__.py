"""Differences between two weighted samples: distances, permutation tests, probes, efficiency shifts."""
