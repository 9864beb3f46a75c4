"""What an intervention changed, as tables and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from atommem_cli.core.types import OpResult
from atommem_cli.replay.episode_text import described, shortened
from atommem_cli.replay.interventions import Drop, Forbid, Insert, Replace
from atommem_cli.replay.whatif import WhatIf
from atommem_cli.runs.tables import Table

_TEXT = 60
"""Characters of a text in a table."""


def prices(found: Sequence[WhatIf]) -> Table:
    """One row per dropped operation (of `leave_one_out`)."""
    scorer = next(iter(found[0].before.scores))
    rows = []
    for one in found:
        assert one.operation is not None
        operation = one.operation
        cost = ", ".join(f"{value:+g}" for value in one.price.get(scorer, ()))
        rows.append(
            (
                str(operation.number),
                str(operation.step),
                f"{operation.kind} (agent)" if operation.automatic else str(operation.kind),
                shortened(operation.text or operation.addressed, _TEXT),
                cost or f"unknown: {shortened(one.error, _TEXT)}",
                "no" if one.changed is None else f"step {one.changed}",
                str(one.asked),
            )
        )
    title = (
        f"{found[0].episode}: what each operation was worth, {scorer} with it minus {scorer} without it, per question"
    )
    return Table(title, ("N", "step", "operation", "text", "price", "prompt changed", "calls anew"), tuple(rows))


def comparison(found: WhatIf) -> Table:
    """The end of the run against the end after the intervention."""
    before, after = found.before, found.after
    rows: list[tuple[str, ...]] = [("stop", before.stop, shortened(found.error, _TEXT) or after.stop)]
    for number, answers in enumerate(zip(before.answers, after.answers, strict=True)):
        label = f" {number + 1}" if len(before.answers) > 1 else ""
        rows.append((f"answer{label}", *(shortened(text, _TEXT) or "(none)" for text in answers)))
        for scorer, price in found.price.items():
            scores = [f"{end.scores[scorer][number]:g}" for end in (before, after)]
            rows.append((f"{scorer}{label}", scores[0], f"{scores[1]} (price {price[number]:+g})"))
    rows += [
        (what, *(shortened(getattr(end, what), _TEXT) or "(nothing)" for end in (before, after)))
        for what in ("memory", "scratchpad", "query", *(["context"] if before.context else []))
    ]
    if before.context:
        rows.append(("messages in the context", str(before.messages), str(after.messages)))
    rows.append(("entries", str(len(before.entries)), str(len(after.entries))))
    rows += [("only there", shortened(text, _TEXT), "") for text in found.lost]
    rows += [("only now", "", shortened(text, _TEXT)) for text in found.gained]
    prompt = "no prompt changed" if found.changed is None else f"the prompt of step {found.changed} changed first"
    title = (
        f"{found.episode}: {told(found)}; {prompt}, {found.replayed} replies are the run's, {found.asked} are new, "
        f"{found.left} of the run's calls were not made any more"
    )
    return Table(title, ("what", "as it was", "what if"), tuple(rows))


def told(found: WhatIf) -> str:
    """An intervention in words, and what became of what it wrote."""
    change = found.intervention
    wrote = ", ".join(map(_wrote, found.written))
    was = shortened(described(found.operation), _TEXT) if found.operation else ""
    match change:
        case Drop(number):
            return f"without operation {number} ({was})"
        case Replace(number):
            return f"{wrote or 'nothing'} in place of operation {number} ({was})"
        case Insert(step):
            return f"{wrote or 'nothing'} at step {step}"
        case Forbid(kind):
            return f"without any {kind}"


def _wrote(result: OpResult) -> str:
    """An operation that was put there, and what became of it; of one on the context, the messages that it meant."""
    said = f"{result.op.kind} [{result.outcome.replace('_', ' ')}]"
    messages = ", ".join(map(str, result.op.targets))
    return f"{said} {shortened(f'messages {messages}', _TEXT)}" if messages else said
