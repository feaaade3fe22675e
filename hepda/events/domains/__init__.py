"""The domains of an analysis: which are compared, blinded or without a counterpart."""
