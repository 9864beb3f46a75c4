"""Vector stores, one file each: `build(options) -> memory.Store`."""
