"""The fit of templates: regions of the score, fits, pseudo-data, fit.json, figures."""
