"""Functions of expressions that read published files: scale factors of correctionlib, lists of good runs."""
