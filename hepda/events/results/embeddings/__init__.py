"""What the embedding of a trained network still knows: fresh probes of the domain, and refits with few labels."""
