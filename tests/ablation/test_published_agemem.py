"""AgeMem's numbers stand beside our own where the setting is the paper's, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atommem_cli.ablation import published_agemem, variants
from atommem_cli.ablation.reader import PlayedArm
from atommem_cli.config import recipe as recipes

VARY = {
    "agent.filter_threshold": [0.4, 0.5, 0.55, 0.7, 0.8],
    "task.distractors": [3, 4, 7],
    "grpo.rewards": [{"em": 1.0}, {"em": 1.0, "format": 0.1}],
}
DROP = ["short_term", "long_term", "long_term,short_term", "filter"]


def manifest(**changes: Any) -> Any:
    told = {"source": "hotpotqa", "tasks": 40, "questions_used": 40, "documents": 10, "late": 7, **changes}
    late = told["late"]
    options, documents = {"distractor_documents": late}, SimpleNamespace(max=told["documents"] + late)
    rest = {key: told[key] for key in ("source", "tasks", "questions_used")}
    return SimpleNamespace(options=options, documents=documents, **rest)


def matching(*changes: str, scorer: str = "judge", how: str = "prompt", **tasks: Any) -> dict[str, tuple[float, float]]:
    section = {"drop": DROP, "chunk_tokens": [], "retrieve_k": [], "vary": VARY, "how": how}
    fixed = ("agent={name: agemem}", "task.distractors=5", "policy={name: scripted}", f"ablate={json.dumps(section)}")
    found = variants.arms(recipes.load("tiny", [*fixed, *changes]))
    runs = [SimpleNamespace(recipe=arm.recipe) for arm in found]
    arms = [PlayedArm(a.name, a.kind, a.how, a.component, run, a.varied) for a, run in zip(found, runs, strict=True)]  # type: ignore[arg-type]
    return published_agemem.matching(arms, manifest(**tasks), scorer)


@pytest.fixture
def learned(tmp_path: Path) -> tuple[str, ...]:
    """A policy of `atommem grpo` and of the composite reward, as far as a recipe can tell."""
    (tmp_path / "run.json").write_text('{"command": "grpo"}')
    policy = f"policy={{name: hf, model: {tmp_path / 'model'}}}"
    return policy, "grpo.rewards={em: 0.5, format: 0.5}"


def test_without_training_the_paper_s_untrained_rows() -> None:
    assert matching() == {
        "base": (45.36, 0.0),
        "without-short_term": (45.76, pytest.approx(0.40)),
        "without-long_term-short_term": (38.36, pytest.approx(-7.00)),
    }


def test_of_a_trained_policy_its_four_ablations(learned: tuple[str, ...]) -> None:
    found = matching(*learned, how="train")
    assert {name: (score, round(points, 2)) for name, (score, points) in found.items()} == {
        "base": (54.44, 0.0),
        "without-short_term-retrained": (52.04, -2.4),
        "agent.filter_threshold-0.4-retrained": (52.4, -2.0),
        "agent.filter_threshold-0.5-retrained": (55.1, 0.7),
        "agent.filter_threshold-0.7-retrained": (53.0, -1.4),
        "agent.filter_threshold-0.8-retrained": (53.1, -1.3),
        "task.distractors-3-retrained": (54.9, 0.5),
        "task.distractors-7-retrained": (53.7, -0.7),
        "grpo.rewards-em-1.0-retrained": (50.9, -3.5),
    }
    # A trained policy that merely loses its tools is no row of theirs.
    assert "without-short_term" not in matching(*learned)


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ((), {"scorer": "em"}),
        ((), {"source": "musique"}),
        ((), {"documents": 60}),
        ((), {"questions_used": 80}),
        (("task.distractors=3",), {}),
        (("task.distractors=null",), {}),
        (("agent.filter_threshold=0.5",), {}),
        (("agent.context_tokens=4096",), {}),
        (("agent.version=coded",), {}),
        (("memory.drop=[filter]",), {}),
    ],
)
def test_in_another_setting_nothing(changes: tuple[str, ...], other: dict[str, Any]) -> None:
    assert matching(*changes, **other) == {}


def test_as_many_as_were_prepared_may_be_five(learned: tuple[str, ...]) -> None:
    assert set(matching("task.distractors=null", late=5)) == set(matching())
    assert matching(*learned, "grpo.rewards={em: 1.0}") == {}, "their base had the composite"
