"""The analysis file of generative models of events as frozen types."""
