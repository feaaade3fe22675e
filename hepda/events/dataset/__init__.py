"""From open files to the FeatureTable: plan, samples, reading in parts, splits, cache."""
