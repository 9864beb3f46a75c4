"""`docs/recipe-keys.md`, from the models of recipes, plug-ins and dialects: `python tests/support/keys_page.py` writes
it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from manual import DOCS

from atommem_cli.config import keys
from atommem_cli.config.keys import Key
from atommem_cli.dialects.wording import FIELDS, Wording
from atommem_cli.scoring import metrics, rewards

PAGE = DOCS / "recipe-keys.md"

HEAD = """\
# Every key

This page is made from the code (`python tests/support/keys_page.py`). In the terminal, `atommem options` says the same:
`atommem options recipe grpo`, `atommem options policies hf`. A recipe is a YAML file; `--set section.key=value` changes
one of its keys. `atommem eval --plan` shows what a recipe would do.
"""


def page() -> str:
    parts = [HEAD, "## Recipes\n"]
    recipe = keys.recipe_keys()
    alone = [key for key in recipe if "." not in key.name]
    parts.append(_table(alone))
    for section in keys.listed()[keys.RECIPE]:
        if inside := [key for key in recipe if key.name.startswith(f"{section}.")]:
            parts += [f"### {section}\n", _table(inside)]
    parts += ["## Scorers\n", "Names for `eval.scorers`, besides `judge`.\n", _meanings(metrics.SCORERS)]
    own = [(f"`{name}`", rewards.about(name)) for name in rewards.OWN if name not in metrics.SCORERS]
    told = "Names for `sft.rewards` and `grpo.rewards`, besides every scorer. Those in `_judged` ask `helpers.judge`.\n"
    parts += ["## Rewards\n", told, _rows(("name", "meaning"), *own)]
    for room, section in keys.WHERE.items():
        of_recipes = f"Keys of the section `{section}`, beside `name`."
        said = of_recipes if section else "Keys for the `--set` of `atommem prepare`."
        parts += [f"## {room.capitalize()}\n", f"{said}\n"]
        for name in keys.listed()[room]:
            parts += [f"### {room}: {name}\n", f"{keys.about(room, name)}\n", _table(keys.keys(room, name))]
    fields = ", ".join(f"`{field}`" for field in sorted(FIELDS))
    parts += ["## Dialects\n", f"Keys of a dialect's file. The fields of a prompt: {fields}.\n"]
    parts.append(_table(keys.of_model(Wording)))
    return "\n".join(parts)


def _table(found: Iterable[Key]) -> str:
    rows = [(f"`{key.name}`", key.type, f"`{key.default}`" if key.default else "needed", key.meaning) for key in found]
    return _rows(("key", "type", "default", "meaning"), *rows) if rows else "No keys.\n"


def _meanings(named: Mapping[str, object]) -> str:
    said = ((f"`{name}`", (one.__doc__ or "").partition("\n")[0]) for name, one in named.items())
    return _rows(("name", "meaning"), *said)


def _rows(*rows: Sequence[str]) -> str:
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
