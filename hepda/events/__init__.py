"""Collider events: ROOT files -> columns -> FeatureTable."""
