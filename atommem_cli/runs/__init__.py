"""The folder of a run: who writes it, what it is identified by, who reads it, what its lines add up to."""
