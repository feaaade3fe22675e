"""hepda: domain-adversarial training for high-energy physics, and the statistics of what it cost and bought."""

import logging

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())
