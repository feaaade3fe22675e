"""The analysis file of a refinement of simulation."""
