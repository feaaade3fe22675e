"""What an analysis of speech is made of: recordings, subsets, test utterances under every condition."""
