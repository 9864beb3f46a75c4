"""The command line: parse, load the recipe, call one library function, print."""

from __future__ import annotations

import os
import sys

from atommem_cli.cli import episodes, evidence, playing, training
from atommem_cli.cli.options import app
from atommem_cli.errors import AtommemError

__all__ = ["app", "episodes", "evidence", "main", "playing", "training"]


def main() -> None:
    """Entry point: one sentence and an exit status for every error."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except AtommemError as error:
        print(f"atommem: {error}", file=sys.stderr)
        sys.exit(error.status)
