"""What every floor stands on: types, errors, seeds, files, texts, the memory and the episode."""
