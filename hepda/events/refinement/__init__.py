"""Simulation refined towards a target: its jets and missing momentum, and from them everything else."""
