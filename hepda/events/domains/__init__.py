"""What the domains of an analysis are: which are compared, blinded, without a counterpart."""
