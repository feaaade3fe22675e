"""Tests of hepda.speech.enhancement."""
