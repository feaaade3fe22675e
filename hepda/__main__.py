"""`python -m hepda`, and so `torchrun -m hepda`."""

from hepda.start import entry

if __name__ == "__main__":
    entry()
