"""What AtomMem's authors printed, to stand beside our own numbers. Not ours: another model, other tasks drawn.

AtomMem v3 (arXiv 2601.08323), Qwen3-8B after GRPO, 200 documents a task, one run each, no error bars; exact
match in %. Transcribed in papers.md 1.8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from atommem_cli.ablation.reader import PlayedArm

WHOSE = "AtomMem v3 (theirs)"
DOCUMENTS = 200
"""Per task, in the tables below."""
_COLUMNS = ("hotpotqa", "2wikimultihopqa", "musique")

BASE = (77.8, 67.5, 55.1)
"""Tables 1 and 2: the whole agent, chunks of 4,000 tokens, k = 6."""
DEFAULT = ((4000, 6), (4096, 6))
"""Chunk size and k of the whole agent: the code's 4,000 tokens, the paper's 4K."""
COMPONENTS: Mapping[tuple[str, ...], tuple[float, float, float]] = {
    (): BASE,
    ("update",): (71.4, 62.6, 47.9),
    ("delete",): (76.5, 67.3, 54.2),
    ("scratchpad",): (71.8, 56.3, 46.0),
    ("storage",): (69.2, 59.4, 43.9),
    ("scratchpad", "storage"): (25.6, 27.1, 12.1),
}
"""Table 2. What went, sorted. Their `disable_update` ignored the tag that overwrites the *scratchpad* in their
code, so their row "update" may be a frozen scratchpad (papers.md 1.8)."""
GRID: Mapping[tuple[int, int], tuple[float, float, float]] = {
    (2048, 3): (76.2, 64.2, 49.9),
    (2048, 6): (76.8, 67.6, 52.6),
    (2048, 12): (75.0, 67.3, 52.6),
    (4096, 3): (74.2, 64.8, 54.6),
    (4096, 6): (76.9, 67.5, 55.1),
    (4096, 12): (77.4, 69.6, 54.5),
    (8192, 3): (76.4, 65.2, 53.0),
    (8192, 6): (78.7, 67.9, 54.0),
    (8192, 12): (76.5, 67.5, 52.8),
}
"""Table 3: chunk size in tokens, k."""


EMBEDDERS: Mapping[str, tuple[float, float, float]] = {
    "random": (68.5, 62.6, 46.1),
    "Qwen3-Embedding-0.6B": (76.9, 67.5, 55.1),
    "Qwen3-Embedding-4B": (77.5, 68.2, 56.0),
    "Qwen3-Embedding-8B": (78.6, 69.6, 56.3),
}
"""Table 4, by plug-in or model."""


def matching(arms: Iterable[PlayedArm], source: str, documents: int) -> dict[str, tuple[float, float]]:
    """Published score, and difference to the published base in points, by the name of an arm whose setting matches.

    Their components were ignored while playing (`how: noop`); an arm that was trained again has no counterpart.

    Args:
        source: of the tasks.
        documents: per task, all tasks alike; 0 where they are not.
    """
    if documents != DOCUMENTS or source not in _COLUMNS:
        return {}
    column = _COLUMNS.index(source)
    found = {}
    for arm in arms:
        recipe = arm.run.recipe
        if recipe.agent.name != "atommem" or recipe.chunk.by != "tokens" or arm.how == "train" or arm.varied:
            continue
        tokens, k = recipe.chunk.tokens, recipe.memory.retrieve_k
        row, base = GRID.get((tokens, k)), GRID[4096, 6]
        if arm.kind == "embedder":
            model = str((recipe.embedder.model_extra or {}).get("model", recipe.embedder.name))
            row = EMBEDDERS.get(model.rpartition("/")[2])
        elif (tokens, k) in DEFAULT:
            row, base = COMPONENTS.get(arm.component), BASE
        if row is not None:
            found[arm.name] = (row[column], row[column] - base[column])
    return found
