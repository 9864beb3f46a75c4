"""Whether prices are right: their rank correlation with what `stream` itself says that operations were needed for.

Run: OMP_NUM_THREADS=1 python tests/bench/bench_credit.py [MODEL ...]    (a minute; MODEL: folders of sft or grpo)

Goal: 0.8 for create, update and delete. Scripts answer what their prompts prove, so what is missing there is retrieval
and the stage itself; what is missing for a model is the model.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from needs import needs

from atommem_cli.config import recipe as recipes
from atommem_cli.core.types import OpKind
from atommem_cli.data import preparation
from atommem_cli.replay import operation_prices, replay
from atommem_cli.running import evaluation
from atommem_cli.running.build import assemble
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import rewards

KINDS = (OpKind.CREATE, OpKind.UPDATE, OpKind.DELETE)


def main(models: list[str]) -> None:
    print("player             kind    took effect  priced  rank correlation  same sign  mean price  mean need")
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        preparation.prepare("stream", out=home / "data", split="validation", limit=200, seed=3)
        for script in ("careful", "sloppy", "append_only"):
            show(script, home, f"policy={{name: scripted, script: {script}}}")
        for model in models:
            show(
                Path(model).name,
                home,
                f"policy={{name: hf, model: {Path(model).resolve() / 'model'}, temperature: 0.0}}",
            )


def show(name: str, home: Path, policy: str) -> None:
    recipe = recipes.load("tiny", [f"task.folder={home / 'data'}", "store={name: exact}", policy])
    evaluation.evaluate(recipe, home / name)
    played = list(replay.play(Run(home / name)))
    with closing(assemble(recipe)) as parts:
        found = operation_prices.prices(parts, played, rewards.of("em"))
    pairs: dict[OpKind, list[tuple[float, float]]] = defaultdict(list)
    all_of_it: dict[OpKind, int] = defaultdict(int)
    for (task, trajectory), ops in zip(played, found.episodes, strict=True):
        wanted = needs(task, trajectory)
        for op in ops:
            all_of_it[op.kind] += 1
            if op.price is not None:
                pairs[op.kind].append((op.price, wanted[op.place]))
    for kind in KINDS:
        if len(pairs[kind]) < 5:
            continue
        prices, wanted = zip(*pairs[kind], strict=True)
        flat = len(set(prices)) == 1 or len(set(wanted)) == 1
        rank = "all the same" if flat else f"{spearmanr(prices, wanted).statistic:.2f}"
        same = sum((a > 0) - (a < 0) == (b > 0) - (b < 0) for a, b in pairs[kind]) / len(prices)
        mean, need = sum(prices) / len(prices), sum(wanted) / len(prices)
        counts = f"{all_of_it[kind]:11} {len(prices):7}"
        print(f"{name:18} {kind:7} {counts}  {rank:>16}  {same:9.0%}  {mean:+10.2f} {need:+10.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
