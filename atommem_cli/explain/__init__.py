"""Why answers were wrong: the life of each gold fact, and the quality of the memory."""
