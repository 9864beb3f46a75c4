"""Digests of what a run says."""

from __future__ import annotations

from atommem_cli.runs.digests import steps_digest

LINE = {"episode": "t#0", "step": 2, "reply": "r", "seconds": 1.0}


def test_the_digest_of_steps_knows_no_times_and_no_names() -> None:
    assert steps_digest([LINE]) == steps_digest([{**LINE, "episode": "u#1", "step": 0, "seconds": 9.0}])
    assert steps_digest([LINE]) != steps_digest([{**LINE, "reply": "s"}])
    assert steps_digest([LINE, LINE]) != steps_digest([LINE])
