"""Policies, one file each: `build(options) -> episode.Policy | episode.ServerPolicy`."""
