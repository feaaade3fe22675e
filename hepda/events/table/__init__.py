"""The FeatureTable: in memory, on disk, kept for later runs, and what identifies it."""
