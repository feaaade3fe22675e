"""Parts of the entry of a model of events in metrics.json."""
