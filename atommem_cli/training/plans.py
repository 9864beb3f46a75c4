"""What a training would take, as `--plan` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atommem_cli.tables import Table

Phase = Literal["always", "update", "play"]


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that lies in the memory of a device."""

    name: str
    bytes: float
    phase: Phase
    """When: during updates, while episodes are played, or always."""


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Of one device."""

    parameters: int
    trained: int
    """Of them; with LoRA those of the adapters."""
    parts: tuple[Part, ...]
    vllm: float = 0.0
    """Share of the device's memory that vLLM takes beside them."""
    vllm_sleeps: bool = False
    """Whether it gives that back during updates."""

    def at(self, phase: Phase) -> float:
        """Bytes in one phase, vLLM's apart."""
        return sum(part.bytes for part in self.parts if part.phase in ("always", phase))

    @property
    def peak(self) -> float:
        """Bytes of the worse phase."""
        return max(self.at("update"), self.at("play"))


@dataclass(frozen=True, slots=True)
class Bound:
    """A mean over the sampled tasks, if everything goes briefly and if everything goes at length."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GrpoPlan:
    """What a GRPO training will take."""

    tasks: int
    sampled: int
    """Of them; the bounds are means over these."""
    processes: int
    rollouts: int
    """Per task."""
    trajectories: int
    """Of one generation, over all processes; a whole number of groups."""
    updates: int
    updates_per_generation: int
    rows: Bound
    """Per trajectory: model calls, each of which is trained."""
    prompt: Bound
    """Tokens per row."""
    tokens: Bound
    """Prompt and reply tokens of one generation."""
    micro_batches: Bound
    """Per process and generation, if no token is padding."""
    memory: DeviceMemory | None
    """Per device; None where the model's configuration is not here."""
    missing: str = ""
    """Why there is no `memory`."""


def tables(plan: GrpoPlan) -> list[Table]:
    """What `--plan` shows."""
    groups = f"{plan.trajectories // plan.rollouts} tasks x {plan.rollouts} rollouts"
    rows = (
        ("training tasks", f"{plan.tasks:,}"),
        ("trajectories per generation", f"{plan.trajectories:,} ({groups})"),
        ("updates", f"{plan.updates:,} ({plan.updates_per_generation} per generation)"),
        ("rows per trajectory", _range(plan.rows)),
        ("prompt tokens per row", _range(plan.prompt)),
        ("tokens per generation", _range(plan.tokens)),
        ("micro-batches per process and generation", _range(plan.micro_batches)),
        *([("memory", plan.missing)] if plan.missing else []),
    )
    title = f"What it would take; means over {plan.sampled} tasks, {plan.processes} process(es)"
    return [Table(title, ("what", "value"), rows), *([memory_table(plan.memory)] if plan.memory else [])]


def memory_table(memory: DeviceMemory) -> Table:
    """One row per thing that lies in a device's memory, in GiB."""
    rows = [(part.name, _PHASES[part.phase], _gib(part.bytes)) for part in memory.parts]
    rows.append(("together, at most", "", _gib(memory.peak)))
    if memory.vllm:
        when = _PHASES["play" if memory.vllm_sleeps else "always"]
        rows.append(("vLLM", when, f"{memory.vllm:.0%} of the device"))
    trained = "all trained" if memory.trained == memory.parameters else f"{memory.trained / 1e6:,.1f} M trained"
    title = f"Memory per device in GiB, estimated; {memory.parameters / 1e6:,.1f} M parameters, {trained}"
    return Table(title, ("what", "when", "GiB"), tuple(rows))


_PHASES = {"always": "always", "update": "updates", "play": "playing"}


def _range(bound: Bound) -> str:
    return f"{bound.low:,.0f} to {bound.high:,.0f}"


def _gib(size: float) -> str:
    return f"{size / 2**30:,.2f}"
