"""The command line: parse, load the recipe, call one library function, print."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point: one sentence and an exit status for every error."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        # Typer, too, is imported in here: whoever stops a command while it starts sees no traceback.
        from atommem_cli.cli import commands

        status = commands.run()
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
