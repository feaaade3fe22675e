"""The FeatureTable: in memory, on disk, in a cache for later runs, and its fingerprint."""
