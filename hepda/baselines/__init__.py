"""Boosted decision trees: the baseline with which every network is compared."""
