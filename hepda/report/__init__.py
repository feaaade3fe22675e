"""The report: metrics and figures to one self-contained HTML page."""
