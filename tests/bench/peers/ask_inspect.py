"""inspect_ai's own cost of a model call: episodes of many calls to a mock model, with its log. Prints JSON.

Run by the Python of its own environment (see `environment`): ask_inspect.py EPISODES CALLS FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import solver

WORDS = 60
"""Of a prompt."""


@solver
def reading(calls: int) -> Any:
    """Calls without a history, each of another prompt, as a memory agent makes them."""

    async def solve(state: Any, generate: Any) -> Any:
        for call in range(calls):
            prompt = f"Chunk {call} of {state.sample_id}: " + " ".join(["velt"] * WORDS)
            state.output = await get_model().generate([ChatMessageUser(content=prompt)])
        return state

    return solve


def reply(*_: object) -> ModelOutput:
    """With its usage: without, the mock counts tokens by a file that it downloads."""
    output = ModelOutput.from_content("mockllm", "velt")
    output.usage = ModelUsage(input_tokens=WORDS, output_tokens=1, total_tokens=WORDS + 1)
    return output


def main() -> None:
    episodes, calls, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    model = get_model("mockllm/model", custom_outputs=reply)

    def play(count: int) -> None:
        task = Task(
            [Sample(input="Read.", target="velt", id=i) for i in range(count)], reading(calls), scorer=includes()
        )
        (log,) = eval(task, model=model, display="none", log_dir=folder, max_samples=count)
        assert log.status == "success", log.error
        assert len(log.samples) == count

    play(2)
    wall, cpu = time.perf_counter(), time.process_time()
    play(episodes)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"cpu_ms": 1e3 * cpu / episodes / calls, "wall_ms": 1e3 * wall / episodes / calls}))


main()
