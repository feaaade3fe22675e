"""Numbers computed from scores: arrays are the input, frozen dataclasses the output. Import from the modules."""
