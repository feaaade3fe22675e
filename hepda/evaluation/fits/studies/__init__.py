"""What is asked of a fit once it is made: impacts, scan of the likelihood, goodness of fit, origins of a bias."""
