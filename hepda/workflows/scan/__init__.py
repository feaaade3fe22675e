"""`hepda scan`: the same analysis trained with other values of its keys and other seeds, judged, and chosen from.

points.py   from the command's words to points (values of the varied keys) and units (a point with a seed)
work.py     every unit's trainings as jobs side by side; what is done is kept, and never done again
judging.py  the numbers of one unit: some test events choose, the others report
choice.py   means and standard deviations over seeds, and the choice without labels of the target
guided.py   a search by optuna instead of a grid
story.py    the scan from its config to its files
findings.py what was found, which tables.py, figures.py and pages.py turn into scan.html, scan.json and scan.csv
"""

from hepda.workflows.scan.choice import Criterion
from hepda.workflows.scan.pages import conclusions
from hepda.workflows.scan.run import ScanOptions, ScanOutcome, scan
from hepda.workflows.scan.tables import console_table

__all__ = ["Criterion", "ScanOptions", "ScanOutcome", "conclusions", "console_table", "scan"]
