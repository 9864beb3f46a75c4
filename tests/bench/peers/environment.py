"""Environments of the peers' own, each made once inside ours: their pins and ours never meet."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

PINS = ("inspect-ai==0.3.285", "faiss-cpu==1.15.1", "numpy==2.4.6", "mem0ai==1.0.11")


def ask(
    script: str,
    *arguments: object,
    pins: tuple[str, ...] = PINS,
    alone: tuple[str, ...] = (),
    home: str = "peers",
) -> dict[str, Any] | None:
    """What a script of this folder prints, run by the peers' Python; None, and a sentence, where they cannot be had.

    Args:
        pins: the packages of the environment.
        alone: more of them, without what they ask for.
        home: the name of its folder.
    """
    where = Path(sys.prefix) / home
    if not _made(where, pins, alone):
        return None
    command = [where / "bin" / "python", Path(__file__).with_name(script), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _made(where: Path, pins: tuple[str, ...], alone: tuple[str, ...]) -> bool:
    """Whether the environment is there, with these packages; it is made where it is not."""
    mark, named = where / "pins", " ".join([*pins, *alone])
    if mark.is_file() and mark.read_text() == named:
        return True
    print(f"the peers' environment is made: {named}")
    venv.create(where, with_pip=True, clear=True)
    install = [where / "bin" / "python", "-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "20"]
    for what in filter(None, (pins, ("--no-deps", *alone) if alone else ())):
        done = subprocess.run([*install, *what], capture_output=True, text=True, check=False)
        if done.returncode:
            why = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), "pip failed")
            print(f"the peers are left out: {why}")
            return False
    mark.write_text(named)
    return True
