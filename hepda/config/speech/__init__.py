"""The analysis files of speech: recognition, and enhancement."""
