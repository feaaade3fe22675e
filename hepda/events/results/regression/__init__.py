"""Models of events that predict a number: their numbers, entries in metrics.json, and tables."""
