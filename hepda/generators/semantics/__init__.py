"""What images look like beyond their class: attributes of strokes, and directions of a generator that change them."""
