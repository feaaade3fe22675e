"""Tests of hepda.speech.conversion."""
