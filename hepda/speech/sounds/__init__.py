"""Recordings, noises and features of frames."""
