"""The kind `images`: files -> bytes in memory -> tensors -> classes -> numbers and figures."""
