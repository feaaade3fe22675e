"""Networks: layers, an encoder with named heads, gradient reversal, losses, and the protocol of alignment terms."""
