"""What a training would take, as `--plan` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from atommem_cli.runs.tables import Rates, Table

Phase = Literal["always", "update", "play"]
DEVICE = 78 * 2**30
"""Bytes that a device may hold: those of an 80 GB one, as the nodes of the recipes have."""


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

    @property
    def needed(self) -> float:
        """Bytes of the smallest device that holds this and vLLM's share."""
        beside = self.at("play") / (1 - self.vllm)
        return max(self.at("update") if self.vllm_sleeps else self.at("update") / (1 - self.vllm), beside)


@dataclass(frozen=True, slots=True)
class Bound:
    """A mean over the sampled tasks, if everything goes briefly and if everything goes at length."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pricing:
    """What one generation takes beside, to price single operations (`plan_credit`)."""

    calls: Bound
    prompts: Bound
    """Tokens."""
    replies: float
    """The most tokens of their replies."""


@dataclass(frozen=True, slots=True)
class GrpoPlan:
    """What a GRPO training will take."""

    tasks: int
    sampled: int
    """Of them; the bounds are means over these."""
    processes: int
    sharded: bool
    """Whether these share weights, gradients and optimiser states."""
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
    replies: float
    """Those of replies among `tokens.high`; of `tokens.low` there is none."""
    beginning: float | None
    """Of the prompt tokens of a row those before the first one that a rollout's writing decides."""
    nodes: Bound | None
    """Of `tokens`, what is computed: a token that rows share once (`plan_sharing`). None where none is shared."""
    apart: str
    """Why none is shared, as the end of a sentence."""
    micro_batches: Bound
    """Per process and generation, if no token is padding."""
    pricing: Pricing | None
    """None where no operation is priced."""
    phases: str
    """Of `grpo.curriculum`, in words; what is counted here is of whole episodes all the same."""
    memory: DeviceMemory | None
    """Per device; None where the model's configuration is not here."""
    missing: str = ""
    """Why there is no `memory`."""


def tables(plan: GrpoPlan, rates: Rates | None = None) -> list[Table]:
    """What `--plan` shows; with a speed, the hours of playing, too."""
    groups = f"{plan.trajectories // plan.rollouts} tasks x {plan.rollouts} rollouts"
    rows = (
        ("training tasks", f"{plan.tasks:,}"),
        ("trajectories per generation", f"{plan.trajectories:,} ({groups})"),
        ("updates", f"{plan.updates:,} ({plan.updates_per_generation} per generation)"),
        *([("phases, of which none takes more than what is counted here", plan.phases)] if plan.phases else []),
        ("rows per trajectory", _range(plan.rows)),
        ("prompt tokens per row", _range(plan.prompt)),
        ("tokens per generation", _range(plan.tokens)),
        *_shared(plan),
        *(_priced(plan.pricing) if plan.pricing else []),
        ("micro-batches per process and generation", _range(plan.micro_batches)),
        *(_hours(plan, rates) if rates and rates.speed else []),
        *([("memory", plan.missing)] if plan.missing else []),
    )
    title = f"What it would take; means over {plan.sampled} tasks, {plan.processes} process(es)"
    return [Table(title, ("what", "value"), rows), *([memory_table(plan.memory)] if plan.memory else [])]


def _shared(plan: GrpoPlan) -> list[tuple[str, str]]:
    if plan.nodes is None:
        return [("tokens per generation that are computed", f"all: {plan.apart}")]
    most, least = plan.tokens.low / plan.nodes.low, plan.tokens.high / plan.nodes.high
    return [
        ("prompt tokens per row that rollouts share, whatever they write", f"{plan.beginning:,.0f}"),
        ("tokens per generation that are computed: what rows share once", _range(plan.nodes)),
        ("tokens for one that is computed", f"{least:,.1f} to {most:,.1f}"),
    ]


def _priced(pricing: Pricing) -> list[tuple[str, str]]:
    tokens = Bound(pricing.prompts.low, pricing.prompts.high + pricing.replies)
    return [
        ("further calls per generation, to price operations, one a reply at most", _range(pricing.calls)),
        ("tokens of these", _range(tokens)),
    ]


def _hours(plan: GrpoPlan, rates: Rates) -> list[tuple[str, str]]:
    """Of playing: if every prompt is read, and if what prompts share is read once; and of pricing."""
    generations = plan.updates / plan.updates_per_generation

    def line(what: str, low: float, high: float, written: float) -> tuple[str, str]:
        least, most = rates.hours(low, 0), rates.hours(high, written)
        return what, f"{generations * least:,.2f} to {generations * most:,.2f}"

    def played(what: str, read: Bound) -> tuple[str, str]:
        return line(what, read.low, read.high - plan.replies, plan.replies)

    found = [played("hours of playing, without updates", plan.tokens)]
    if plan.nodes is not None:
        found.append(played("likewise, what prompts share read once", plan.nodes))
    if plan.pricing is not None:
        read = plan.pricing.prompts
        found.append(line("hours of pricing operations", read.low, read.high, plan.pricing.replies))
    return found


class Plan(Protocol):
    """What plans of trainings have in common."""

    @property
    def processes(self) -> int: ...
    @property
    def sharded(self) -> bool: ...
    @property
    def memory(self) -> DeviceMemory | None: ...


def sentences(plan: Plan, *, smaller: str) -> list[str]:
    """What the number of processes means, and whether a device holds what it must.

    Args:
        smaller: the recipe key that makes a pass smaller.
    """
    told = []
    processes, sharded, memory = plan.processes, plan.sharded, plan.memory
    if processes > 1:
        whole = "a share of the weights and of what belongs to them" if sharded else "all weights"
        told.append(
            f"Counted for {processes:,} processes with a device and {whole} each: start as many "
            "with `accelerate launch`."
        )
    if memory and memory.needed > DEVICE:
        parts = [f"LoRA, or a smaller {smaller}"]
        parts += ["more processes"] if sharded else ["weights that several share (--processes N --sharded)"]
        told.append(
            f"No device of {DEVICE / 2**30:.0f} GiB holds it: {_gib(memory.needed)} GiB are needed on each; what "
            f"helps: {', '.join(reversed(parts))}."
        )
    return told


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
