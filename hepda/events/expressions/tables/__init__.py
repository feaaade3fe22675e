"""Functions of expressions that take numbers from a table: in the analysis file, or in a published file."""
