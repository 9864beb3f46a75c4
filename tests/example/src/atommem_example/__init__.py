"""What a package of one's own can give to atommem."""

from pathlib import Path

TERSE = Path(__file__).with_name("terse.yaml")
"""A dialect: the path of its file."""
