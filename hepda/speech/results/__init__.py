"""From scores to word error rates, tables and figures."""
