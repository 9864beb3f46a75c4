"""What is prepared for a GPU runs in little on the CPU."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import commands
import pytest
from device import learning, sharing

from atommem_cli.models import tree_reading


def test_sharing_is_exact_in_every_way_that_the_cpu_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_reading, "LONG", tree_reading.LONG)  # put back at the end
    found = sharing.main(["--small", "--json", str(tmp_path / "found.jsonl")])
    assert [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()] == found
    exact = {(line["dtype"], line["way"]): line for line in found if line["what"] == "exact"}
    assert list(exact) == [(dtype, way) for dtype in ("float32", "bfloat16") for way in ("padded", "dense", "pieces")]
    for (dtype, _), line in exact.items():
        assert line["log_probs"] < (1e-6 if dtype == "float32" else 1e-2)
        assert line["gradients"] < (1e-5 if dtype == "float32" else 5e-2)
    assert [line["way"] for line in found if line["what"] == "speed" and line["ms"] > 0] == list(sharing.WAYS)


def test_a_way_that_fails_does_not_end_the_others() -> None:
    assert sharing.tried({"way": "blocks"}, lambda: {}["none"]) == {"way": "blocks", "failed": "KeyError: 'none'"}


def test_the_training_runs_and_says_that_it_had_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(learning, "run", lambda *given, seconds=None: commands.atommem(*given, cwd=tmp_path))
    learning.main(["--small", "--out", str(tmp_path)])
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "no weights: the model was tiny, and has learned nothing"
    assert [json.loads(line)["step"] for line in said[:-1] if '"train"' in line] == [1, 2]
    assert learning.last(tmp_path / "grpo") == str(tmp_path / "grpo")
    (tmp_path / "grpo" / "model").rename(tmp_path / "gone")
    assert learning.last(tmp_path / "grpo") == str(tmp_path / "grpo" / "checkpoints" / "checkpoint-2")


def test_the_script_is_bash_and_names_what_is_missing(tmp_path: Path) -> None:
    script = Path(__file__).with_name("run.sh")
    subprocess.run(["bash", "-n", str(script)], check=True)
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\nexec /usr/bin/env python3 -S -E -I "$@"\n')
    bare.chmod(0o755)
    alone = {"PATH": "/usr/bin:/bin", "PYTHON": str(bare)}
    done = subprocess.run([str(script), str(tmp_path / "out")], env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("not installed: torch, transformers, trl")
