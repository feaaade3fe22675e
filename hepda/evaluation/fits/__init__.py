"""Templates and fits: binning, HistFactory likelihood, limits, toys, closure."""
