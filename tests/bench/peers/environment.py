"""Environments of the peers' own, each made once inside ours: their pins and ours never meet."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

PINS = ("inspect-ai==0.3.285", "faiss-cpu==1.15.1", "numpy==2.4.6", "mem0ai==1.0.11")


def ask(script: str, *arguments: object, pins: tuple[str, ...] = PINS, home: str = "peers") -> dict[str, Any] | None:
    """What a script of this folder prints, run by the peers' Python; None, and a sentence, where they cannot be had.

    Args:
        pins: the packages of the environment.
        home: the name of its folder.
    """
    where = Path(sys.prefix) / home
    if not _made(where, pins):
        return None
    command = [where / "bin" / "python", Path(__file__).with_name(script), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _made(where: Path, pins: tuple[str, ...]) -> bool:
    """Whether the environment is there, with these pins; it is made where it is not."""
    mark = where / "pins"
    if mark.is_file() and mark.read_text() == " ".join(pins):
        return True
    print(f"the peers' environment is made: {', '.join(pins)}")
    venv.create(where, with_pip=True, clear=True)
    install = [where / "bin" / "python", "-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "20", *pins]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        why = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), "pip failed")
        print(f"the peers are left out: {why}")
        return False
    mark.write_text(" ".join(pins))
    return True
