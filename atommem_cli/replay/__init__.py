"""Runs played again: without a model, with something changed, and on the ladder of oracles."""
