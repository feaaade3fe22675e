"""The wing for images: files -> bytes in memory -> tensors -> classes -> numbers and figures."""
