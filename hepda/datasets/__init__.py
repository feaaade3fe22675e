"""Published data sets: the catalogue, downloads with checksums, and the commands of `hepda data`."""
