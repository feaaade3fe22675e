"""Rows of the two domains: event weights, paired batches, rows that stay on disk."""
