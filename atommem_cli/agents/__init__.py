"""Memory agents, one file each: `build(options) -> episode.Agent`."""
