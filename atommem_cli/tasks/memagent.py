"""MemAgent's and AtomMem's task files as they are: HotpotQA questions among 50 to 25,600 documents, mixed already.

`eval_N.json` (BytedTsinghua-SIA/hotpotqa on the hub: 128 questions of validation among N documents), the
`hotpotqa_*.parquet` that MemAgent trains on, and the `*_multiquery*.parquet` that AtomMem's scripts write
(RUCBM/AtomMem@9cddfb7 AtomMem/taskutils/script/processing_multiquery.py: 1-10 questions a task). They hold no gold
facts. The score of the field is `sub_em`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import Field

from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Document, Question
from atommem_cli.data.files import Plan, Request
from atommem_cli.tasks import _own, _published
from atommem_cli.tasks._foreign import recognised
from atommem_cli.tasks._own import Told
from atommem_cli.tasks._published import Published, splits
from atommem_cli.tasks._schema import Mismatch, conform

__all__ = ["Options", "build", "inputs", "splits"]

NAME = "memagent"
_EVALUATION = {"context": str, "input": str, "answers": [str]}
_FIRST = "Document 1:\n"
TRUTH = "reward_model.ground_truth"


class Options(_own.Options):
    """What a recipe may set."""

    docs: int = Field(200, ge=1)
    """Which `eval_N.json` of the hub is taken; a file is taken as it is."""


def documents(context: str) -> tuple[Document, ...]:
    """The documents of a context: `Document i:`, title and text, joined by blank lines.

    A document may hold a line that reads like such a heading: theirs count up from 1.

    Raises:
        Mismatch: it does not begin with the first of them.
    """
    if not context.startswith(_FIRST):
        raise Mismatch(
            f"the field context does not begin with {_FIRST.strip()!r}, as the HotpotQA tasks of MemAgent and AtomMem "
            "do: other tasks of theirs are not read"
        )
    found = []
    number, at = 1, 0
    while at < len(context):
        begin = at + len(f"Document {number}:\n")
        number += 1
        end = context.find(f"\n\nDocument {number}:\n", begin)
        title, _, text = context[begin : end if end >= 0 else len(context)].partition("\n")
        found.append(Document(title, text))
        at = end + 2 if end >= 0 else len(context)
    return tuple(found)


def _told(raw: Any, number: int, options: Options, seed: int) -> Told:
    if not isinstance(raw, Mapping):
        raise Mismatch("the records are not JSON objects")
    if "reward_model" in raw:
        asked = list(_trained(raw))
    elif "input" in raw:
        row = conform(raw, _EVALUATION)
        asked = [(row["input"], row["answers"])]
    else:
        wanted = "; the records should have context, input and answers, or context, prompt and reward_model"
        raise Mismatch(recognised(raw, NAME) or f"the field input is missing{wanted}")
    name = str(number)
    questions = [
        Question(name if len(asked) == 1 else f"{name}-{at}", text.strip(), _accepted(answers))
        for at, (text, answers) in enumerate(asked)
    ]
    return Told(documents(conform(raw, {"context": str})["context"]), tuple(questions))


def _trained(raw: Mapping[str, Any]) -> Sequence[tuple[str, list[str]]]:
    """Questions and answers of a row that verl trains on: one question, or several with a list of answers each."""
    conform(raw, {"prompt": [{}], "reward_model": {}})
    asked = raw["prompt"][-1].get("content") if raw["prompt"] else None
    truth = raw["reward_model"].get("ground_truth")
    if isinstance(asked, str):
        return [(asked, conform(truth, [str], TRUTH))]
    texts, answers = conform(asked, [str], "prompt[].content"), conform(truth, [[str]], TRUTH)
    if len(texts) != len(answers):
        raise Mismatch(f"there are {len(texts)} questions, and answers to {len(answers)} ({TRUTH})")
    return list(zip(texts, answers, strict=True))


def _accepted(answers: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (answer.strip() for answer in answers)))) or ("",)


def _hub(options: Options, split: str) -> tuple[str, str]:
    return "BytedTsinghua-SIA/hotpotqa", (
        "hotpotqa_train_32k.parquet" if split == "train" else f"eval_{options.docs}.json"
    )


PUBLISHED = Published(
    name=NAME,
    licence="CC BY-SA 4.0 (HotpotQA's; of files that were mixed from other sets, theirs)",
    hub=_hub,
    options=Options(),
    told=_told,
)
inputs = partial(_published.inputs, PUBLISHED)


def build(options: Options, request: Request) -> Plan:
    """The plan of one split; see `_published.build`.

    Raises:
        UsageError: `docs` is set beside a source; as there.
    """
    if request.source is not None and "docs" in options.model_fields_set:
        raise UsageError(f"{NAME}: docs chooses a file of the hub, and --source is another one: leave one of them out")
    return _published.build(PUBLISHED, options, request)
