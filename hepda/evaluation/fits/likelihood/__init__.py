"""The likelihood of a fit in numpy, for many data sets in parallel, and its minimum."""
