"""Boosted decision trees: what every network is held against."""
