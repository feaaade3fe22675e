"""From scores to metrics.json and figures."""
