"""Figures of classifier scores: separation, bias, significance, calibration."""
