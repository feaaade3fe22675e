"""Games of several players, each with its own losses and optimizer, that take turns."""
