"""Prepared tasks: made, split, written and read."""
