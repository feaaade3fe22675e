"""The training loop: batches to losses to steps, history, checkpoints, scorers."""
