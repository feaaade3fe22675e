"""`hepda scan`: train the same analysis with other values of its keys and other seeds, evaluate it, and choose a point.

points.py    from the options of the command to points (values of the varied keys) and trials (a point with one seed)
trainings.py the trainings of every trial as jobs in parallel; a finished training is kept and never done again
measuring.py the numbers of one trial: some test events choose, the others report
choice.py    means and standard deviations over seeds, and the choice without labels of the target
corrected.py the numbers of the chosen point, corrected for its having been chosen
guided.py    a search by optuna instead of a grid
run.py       the scan, from its config to its files
findings.py  the results, which tables.py, figures.py and pages.py turn into scan.html, scan.json and scan.csv
tail.py      the change of the shift in the tail of the score, compared with the model without adaptation
"""

from hepda.workflows.scan.choice import Criterion
from hepda.workflows.scan.pages import conclusions
from hepda.workflows.scan.run import ScanOptions, ScanOutcome, scan
from hepda.workflows.scan.tables import console_table

__all__ = ["Criterion", "ScanOptions", "ScanOutcome", "conclusions", "console_table", "scan"]
