"""hepda as a library: finished runs, their models as estimators, and analyses of data that are in memory.

The public names are those of `hepda` itself: `hepda.load`, `hepda.train`, ...
"""
