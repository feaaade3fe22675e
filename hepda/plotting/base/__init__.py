"""The common style of all figures, histograms and panels."""
