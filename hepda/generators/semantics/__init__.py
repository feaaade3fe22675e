"""What images look like beyond their class: attributes of strokes."""
