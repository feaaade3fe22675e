"""How hepda runs: run directories, jobs, processes, clusters, the console."""
