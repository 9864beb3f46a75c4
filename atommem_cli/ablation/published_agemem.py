"""What AgeMem's authors printed, to stand beside our own numbers. Not ours: another model, another judge, other tasks
drawn.

AgeMem v3 (arXiv 2601.01885), Qwen2.5-7B-Instruct, HotpotQA, mean of an LLM judge (J) in [0, 1], one run each, no error
bars. Transcribed in papers.md 2.4, whose order these tables have. J is no exact match: it stands beside our scorer
`judge` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from atommem_cli.ablation.reader import PlayedArm
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.files import read_json
from atommem_cli.data.files import Manifest
from atommem_cli.runs.layout import RUN
from atommem_cli.scoring import metrics
from atommem_cli.scoring.llm_judge import NAME as JUDGE

WHOSE = "AgeMem v3 (theirs)"
AGENT, SOURCE = "agemem", "hotpotqa"
DOCUMENTS = 10
"""Most of a task without its distractors: a question's own paragraphs, which stage 1 shows."""

TRAINED, UNTRAINED = 54.44, 45.36
"""Table 2, rows AgeMem and AgeMem-noRL."""
COMPONENTS: Mapping[tuple[str, ...], float] = {("short_term",): 52.04}
"""Table of components, trained: long-term memory alone (+LT/RL). What went, sorted; each was trained without."""
COMPONENTS_UNTRAINED: Mapping[tuple[str, ...], float] = {("short_term",): 45.76, ("long_term", "short_term"): 38.36}
"""The same, without training: long-term memory alone (+LT), and neither (the model itself, also in Table 2)."""
ANSWER_ONLY, COMPOSITE = 50.9, 54.4
"""Table of rewards: the task's alone, and all of them."""
THRESHOLDS: Mapping[float, float] = {0.4: 52.4, 0.5: 55.1, 0.6: 54.4, 0.7: 53.0, 0.8: 53.1}
"""Table of Filter thresholds."""
DISTRACTORS: Mapping[int, float] = {3: 54.9, 5: 54.4, 7: 53.7}
"""Table 8."""
_SETTING = {"version": "paper", "filter": "embedder", "filter_threshold": 0.6, "context_tokens": 8192}
"""Of the base's agent, by the paper."""
_LATE = 5
"""Distractors of the base, likewise."""


def matching(arms: Iterable[PlayedArm], manifest: Manifest, scorer: str) -> dict[str, tuple[float, float]]:
    """Published score in %, and difference to the published base in points, by the name of an arm that is alike.

    Args:
        arms: the base first; nothing stands beside any arm where it is not the paper's setting.
        manifest: of the tasks.
        scorer: that of our own numbers.
    """
    base, *others = arms
    recipe = base.run.recipe
    late = manifest.options.get("distractor_documents", 0)
    given = recipe.task.distractors if recipe.task.distractors is not None else late
    told = {key: (recipe.agent.model_extra or {}).get(key) for key in _SETTING}
    alone = manifest.questions_used == manifest.tasks and manifest.documents.max - late <= DOCUMENTS
    trained = _trained(recipe)
    if (
        (recipe.agent.name, manifest.source, scorer, given, told) != (AGENT, SOURCE, JUDGE, _LATE, _SETTING)
        or recipe.memory.drop
        or not alone
        or (trained and _answers(recipe.grpo.rewards))
    ):
        return {}
    own = TRAINED if trained else UNTRAINED
    found = {base.name: (own, 0.0)}
    for arm in others:
        row, beside = _row(arm, trained=trained)
        if row is not None:
            found[arm.name] = (row, row - (beside or own))
    return found


def _row(arm: PlayedArm, *, trained: bool) -> tuple[float | None, float | None]:
    """The published score of an arm, and of the base in the same table where that is not the base's own row."""
    if arm.kind == "component":
        known = COMPONENTS if trained and arm.how == "train" else {} if trained else COMPONENTS_UNTRAINED
        return known.get(arm.component), None
    if arm.varied is None or not trained:
        return None, None
    key, value = arm.varied
    if key == "grpo.rewards":
        return (ANSWER_ONLY if _answers(value) else None), COMPOSITE
    if key == "agent.filter_threshold":
        return THRESHOLDS.get(value), THRESHOLDS[0.6]
    if key == "task.distractors":
        return DISTRACTORS.get(value), DISTRACTORS[5]
    return None, None


def _answers(weights: Mapping[str, float]) -> bool:
    """Whether a reward is for the answer alone."""
    return len(weights) == 1 and {*weights} <= {*metrics.SCORERS, JUDGE}


def _trained(recipe: Recipe) -> bool:
    """Whether the policy comes from `atommem grpo`."""
    record = Path(str((recipe.policy.model_extra or {}).get("model", ""))).parent / RUN
    return record.is_file() and read_json(record).get("command") == "grpo"
