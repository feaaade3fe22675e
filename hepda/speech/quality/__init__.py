"""How near an enhanced or converted recording is to the clean one: PESQ, STOI, ratios, spectral distances, ratings."""
