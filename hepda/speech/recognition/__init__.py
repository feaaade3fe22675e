"""From frames to words: hidden Markov models, alignment, decoding."""
