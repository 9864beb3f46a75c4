"""Runs over the same tasks, side by side: paired differences, and what would have been visible."""
