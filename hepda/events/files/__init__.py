"""Files of events: ROOT, Parquet and HDF5 behind one protocol, local and remote."""
