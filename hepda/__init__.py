"""hepda: domain-adversarial training for high-energy physics, and the statistics of what it cost and bought."""

__version__ = "0.1.0"
