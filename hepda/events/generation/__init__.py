"""Generative models of events: objects that a network draws, and features that the analysis forms of them."""
