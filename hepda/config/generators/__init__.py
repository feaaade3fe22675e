"""The analysis file of generative models (`kind: generator`)."""
