"""Figures of fits: regions before and after the fit, parameters, ranking, likelihood, signal strengths."""
