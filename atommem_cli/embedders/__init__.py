"""Text encoders, one file each: `build(options) -> memory.Embedder`."""
