"""What models, policies, judges and their scores are called in tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atommem_cli.scoring import llm_judge


def label(described: Mapping[str, str]) -> str:
    """The plug-in and its model, as `telling`."""
    name, _, model = described["name"].partition(": ")
    last = telling(model or described.get("model", ""))
    return f"{name}: {last}" if last else name


def telling(model: str) -> str:
    """Of a path the last part that tells it apart, because a table travels further than a machine: of
    `results/NAME/model` the NAME, and so of a plug-in's file `./NAME.py`."""
    *before, last = model.rstrip("/").split("/")
    if last == "model" and before:
        last = before[-1]
    elif before[-1:] == ["checkpoints"] and len(before) > 1:
        last = f"{before[-2]} {last}"
    return last.removesuffix(".py")


def scorer(name: str, judge: Mapping[str, Any] | None) -> str:
    """A scorer's name; the judge's with the model that judged, and with the name of instructions that are not the
    general ones, given what `judges.of` says about it."""
    if name != llm_judge.NAME or not judge:
        return name
    judging = llm_judge.instructions_of(judge.get("prompt", ""))
    return f"{name} ({_model(judge)}{f', {judging}' if judging not in ('', llm_judge.GENERAL) else ''})"


def judge_label(judge: Mapping[str, Any]) -> str:
    """The judge's plug-in and its model, as `label`."""
    return label({"name": judge["name"], "model": _model(judge)})


def _model(judge: Mapping[str, Any]) -> str:
    return telling(str(judge.get("model") or judge.get("script") or judge["name"]))
