"""The kind `speech`: recordings -> features of frames -> tensors; states, words and word error rates."""
