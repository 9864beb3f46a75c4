"""Task sources, one file each, for `atommem prepare NAME`."""
