"""The data of an analysis of speech: recordings, subsets, test utterances under every condition."""
