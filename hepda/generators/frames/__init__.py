"""Frame prediction: sequences of moving images, networks that predict the next frame, and how good this is."""
