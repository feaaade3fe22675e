"""The kind `tabular`: CSV or Parquet files -> a table of numbers -> classes -> numbers and figures."""
