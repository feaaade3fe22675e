"""The running of hepda: run directories, jobs, processes, clusters, the console."""
