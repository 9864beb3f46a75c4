"""Recall from the context, for `tiny` and `tiny_agemem`: what pretrained models can do and fresh ones cannot.

Imitation alone does not teach a fresh model to copy from its prompt. Two exercises do: to say a random
segment again and again, then to tell statements again in another order. They come in this order, in the
chat template that the model will be used with.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from atommem_cli.config.recipe import Recipe
from atommem_cli.core import seeds
from atommem_cli.core.calls import Message
from atommem_cli.core.errors import UsageError
from atommem_cli.core.stream_words import PAIRS, VALUES
from atommem_cli.models import tiny
from atommem_cli.models.words import Words
from atommem_cli.training.sft_rows import Example, row

COPIES = 0.6
"""Share of the rows that are of the first exercise."""
SEGMENT = (4, 16)
"""Words of a segment, least and most."""
SAID = 24
"""Words of the reply that repeats it."""
STATEMENTS = 4
"""That are told again: two facts of each of two people."""


def check(recipe: Recipe) -> None:
    """Refuse it for pretrained models, which have this behind them.

    Raises:
        UsageError: one sentence.
    """
    model = (recipe.policy.model_extra or {}).get("model")
    if recipe.sft.recall is not None and model not in tiny.VOCABULARIES:
        raise UsageError(
            f"sft.recall: it is for the models {' and '.join(tiny.VOCABULARIES)} alone, and policy.model is {model}: "
            "take it out"
        )


def rows(words: Words, count: int, seed: int) -> list[Example]:
    """So many rows, in the order in which they are to be learned; a row depends on the seed and its number."""
    plain = [word for word in words.tokenizer.get_vocab() if word not in words.tokenizer.all_special_tokens]
    vocabulary = sorted(plain)
    made = []
    for number in range(count):
        dice = Random(seeds.derive(seed, "recall", number))
        shown, said = _segment(dice, vocabulary) if number < COPIES * count else _statements(dice)
        prompt = words.chat.prompt([Message("user", " ".join(shown))])
        made.append(row("", prompt, [*words.tokenizer.convert_tokens_to_ids(said), words.end]))
    return made


def _segment(dice: Random, vocabulary: Sequence[str]) -> tuple[list[str], list[str]]:
    segment = dice.choices(vocabulary, k=dice.randint(*SEGMENT))
    return segment, (segment * SAID)[:SAID]


def _statements(dice: Random) -> tuple[list[str], list[str]]:
    people = dice.sample(sorted({name for pair in PAIRS for name in pair}), 2)
    relations = dice.sample(sorted(VALUES), STATEMENTS // 2)
    told = [[name, relation, dice.choice(VALUES[relation]), "."] for name in people for relation in relations]
    dice.shuffle(told)
    again = dice.sample(told, len(told))
    return [word for statement in told for word in statement], [word for statement in again for word in statement]
