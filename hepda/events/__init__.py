"""The wing of collider events: ROOT files -> columns -> FeatureTable."""
