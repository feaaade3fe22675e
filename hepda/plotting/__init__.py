"""Numbers to figures, one file a family. Arrays and evaluation's dataclasses in, matplotlib Figures out."""
