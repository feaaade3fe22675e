"""Generators that turn noise, or other rows, into data step by step: diffusion models and flow matching."""
