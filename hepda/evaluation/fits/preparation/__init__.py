"""What is done to templates before a fit: variations are smoothed, and small effects are left out."""
