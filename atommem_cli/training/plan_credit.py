"""What it takes to price the operations of a GRPO training (`grpo.credit`), before it runs.

The least is that no operation changes what a question is shown. The most is that every reply but the last one about a
question holds one operation, and that without each of them all questions are asked again with all their reads:

    calls = trajectories x operations x calls about questions
    operations = calls of an episode - questions

By likelihood a question takes one score of its gold answer for each of these operations, and one for the episode as it
was played; so does the reward `likelihood`, but for the latter. Replies with several operations take more; what other
rewards ask is not in it. `credit/calls` in the metrics of a training is what it really was.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from atommem_cli.config.recipe import Recipe
from atommem_cli.running.costing import EpisodeBound, Prompts
from atommem_cli.training.plan_tables import Bound, Pricing


def pricing(recipe: Recipe, bounds: Sequence[EpisodeBound], measured: Prompts, trajectories: int) -> Pricing | None:
    """What one generation takes beside; None where no operation is priced.

    Args:
        bounds: of some tasks; the figures are means over these.
        trajectories: of one generation.
    """
    section = recipe.grpo
    if section.credit.name != "operation":
        return None
    held = section.credit.price == "likelihood"
    ops = [(bound.calls_high - bound.questions, bound) for bound in bounds]
    asked = 0.0 if held else trajectories * fmean(count * bound.asking_high for count, bound in ops)
    whole = trajectories * fmean(bound.questions for bound in bounds) if held else 0.0
    scored = trajectories * fmean(count * bound.questions for count, bound in ops)
    most = whole + asked + (scored if held or "likelihood" in section.rewards else 0.0)
    return Pricing(
        Bound(whole, most),
        Bound(whole * measured.asking, most * (measured.asking + measured.remembered)),
        asked * recipe.limits.answer,
    )
