"""Generative models: fit them to rows, draw new rows, and judge these against rows that nothing was trained on."""
