"""The sections of a recipe: every key with its meaning, unit, default and where the default comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from atommem_cli.config.credentials import Keyless
from atommem_cli.core.chunking import Tokenizer, chunk_documents
from atommem_cli.core.types import Chunk, Document, OpKind


class Section(BaseModel):
    """Keys that are all known, numbers that are finite, values that do not change: of recipes and of plug-ins."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


OPERATIONAL: dict[str, Any] = {"operational": True}
"""As `json_schema_extra` of a key: it says where and how fast something runs, and changes no result. Such a key may
change between two starts of a run."""

TRAINERS_OPERATIONAL = frozenset(
    {
        "save_total_limit",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "dataloader_prefetch_factor",
        "ddp_timeout",
        "vllm_server_base_url",
        "vllm_server_host",
        "vllm_server_port",
        "vllm_server_timeout",
    }
)
"""Such keywords of TRL's and transformers' trainers."""


class Plugin(BaseModel):
    """A plug-in by name, with its own options as further keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    """A file of its room."""


class NoiseSection(Section):
    """Entries that lie in the store of every episode before its first chunk: the same for every agent and arm."""

    entries: NonNegativeInt = 0
    """How many; fewer are the first of more (`ablate --vary store.noise.entries=10,50`). As long as nobody changes them
    they count for no budget, and for no measure of what the policy stored."""
    kind: Literal["irrelevant", "near_duplicate", "contradicting"] = "irrelevant"
    """irrelevant: from other tasks of the split, and proved to share nothing with the questions; near_duplicate: what
    the task's own documents say, in nearly the same words; contradicting: its gold facts with other values."""


class StoreSection(Plugin):
    """The store, and what lies in it already."""

    noise: NoiseSection | None = Field(None, exclude_if=lambda value: value is None)
    """What nobody wrote; null is none."""


class TaskSection(Section):
    """Which prepared tasks are played."""

    folder: str = "data/stream"
    """A folder that `atommem prepare` wrote."""
    split: str = "validation"
    """Which of the folder's splits."""
    limit: PositiveInt | None = None
    """First tasks only; null plays all."""
    distractors: NonNegativeInt | None = Field(None, exclude_if=lambda value: value is None)
    """Of each task's distractors (`prepare --distractors`), the first so many; null is all. So numbers of them can be
    compared on the same tasks (`ablate --vary task.distractors=3,5,7`)."""


class ChunkSection(Section):
    """How the stream is cut; defaults are the released code's (papers.md 1.1)."""

    tokens: PositiveInt = 4000
    """Of one chunk, counted by the policy's tokenizer."""
    overlap: int = Field(100, ge=0)
    """Tokens shown again on each side; for `by: tokens` only."""
    by: Literal["tokens", "documents"] = "tokens"
    """tokens: cut anywhere; documents: whole documents together, as many as fit."""
    most: PositiveInt | None = 40
    """Most chunks; the middle of a longer stream is cut out."""


class MemorySection(Section):
    """The memory of an episode."""

    retrieve_k: PositiveInt = 6
    """Entries shown per retrieval (AtomMem v3, Table 3)."""
    drop: tuple[OpKind, ...] = ()
    """Operations that are taken away."""
    how: Literal["prompt", "noop"] = "prompt"
    """prompt: they leave manual and prompt, too; noop: the policy is told of them as ever, and they do nothing
    (AtomMem's ablation code, papers.md 1.8)."""

    @property
    def untold(self) -> tuple[OpKind, ...]:
        """Dropped operations of which the policy is not told."""
        return self.drop if self.how == "prompt" else ()


class LimitsSection(Section):
    """Lengths of one model call, in tokens, and the read limit."""

    reply: PositiveInt = 1024
    """Most tokens of a reply while reading."""
    answer: PositiveInt = 256
    """Most tokens of an answer."""
    reads: int = Field(3, ge=0)
    """Consecutive replies that only read (papers.md 1.2)."""


class BudgetSection(Section):
    """What one episode may use; null is no limit. The same for every agent."""

    calls: PositiveInt | None = None
    """Model calls."""
    prompt_tokens: PositiveInt | None = None
    """Tokens of all prompts."""
    new_tokens: PositiveInt | None = None
    """Tokens of all replies."""
    entries: PositiveInt | None = None
    """Entries in the store at once."""
    reads: PositiveInt | None = None
    """Read operations."""


class EvalSection(Section):
    """How an evaluation is scored."""

    repeats: PositiveInt = 1
    """Episodes per task."""
    scorers: tuple[str, ...] = ()
    """Names of scorers, `judge` among them; empty: the source's official ones. The first one leads."""
    judge: Plugin | None = None
    """The policy behind the scorer `judge`; greedy, unless its `temperature` says otherwise."""
    judging: Literal["", "general", "longmemeval"] = Field("", exclude_if=lambda value: not value)
    """Its instructions: general (one for all), or longmemeval (by the type of question, with one for questions that
    nothing answers); empty: longmemeval for the sources `longmemeval` and `locomo`, else general."""
    max_failed: int = Field(0, ge=0)
    """Failed episodes above which the exit status is 1."""


def _never(keywords: dict[str, Any]) -> dict[str, Any]:
    """YAML reads `save_strategy: no` as false."""
    return {key: "no" if value is False and key.endswith("_strategy") else value for key, value in keywords.items()}


Keywords = Annotated[dict[str, Any], AfterValidator(_never), Keyless]
"""TRL's own; checked when a training begins, because to know them takes seconds."""

Rewards = dict[str, float]
"""Weights by name (`rewards.REWARDS`); the reward of a trajectory is their weighted sum."""


class RecallSection(Section):
    """Recall from the context to train on first: the stand-in of a pretrained backbone for the model `tiny`."""

    rows: PositiveInt
    """Exercises; each is seen once, in order."""
    trainer: Keywords = {}
    """Keywords of TRL's SFTConfig where this stage shall differ from `sft.trainer`."""


class SftSection(Section):
    """Supervised fine-tuning on good trajectories."""

    runs: tuple[str, ...] = ()
    """Run folders of `atommem eval` whose trajectories are learned, of any policy."""
    rewards: Rewards = {"em": 1.0}
    """Weights of what a trajectory is chosen by."""
    min_reward: float = 0.5
    """Trajectories below it are left out; all steps of the others are kept (papers.md 1.6)."""
    holdout: float = Field(0.05, ge=0, lt=1)
    """Share of the tasks whose rows measure the validation loss; 0 for none."""
    recall: RecallSection | None = None
    """A stage before the first; null is none."""
    lora: dict[str, Any] | None = None
    """Keywords of peft's LoraConfig; null trains every weight."""
    trainer: Keywords = {}
    """Keywords of TRL's SFTConfig."""


class CreditSection(Section):
    """What the tokens of an operation are credited with, beside the advantage of their trajectory."""

    name: Literal["trajectory", "operation"] = "trajectory"
    """trajectory: nothing. operation: what the operation was worth at the end of its episode: it is left out, all
    others stand, and only the questions that are then shown something else are asked again."""
    weight: float = Field(1.0, ge=0)
    """Of the price of an operation, less the mean of its kind over the rollouts of the task. A price is in units of
    reward, or of log-likelihood, and never divided by a standard deviation."""
    price: Literal["reward", "likelihood"] = "reward"
    """reward: with the operation minus without it. likelihood: the same of the gold answers' mean log-likelihood per
    token, which takes no further replies."""


class PhaseSection(Section):
    """A part of a training in which episodes have some of their stages alone (`grpo.curriculum`)."""

    stages: tuple[Literal[1, 2, 3], ...]
    """Which are played: 1, the documents; 2, the distractors; 3, the questions."""
    updates: PositiveInt | None = None
    """How long; null, of the last phase alone: to the end of the training."""
    rewards: Rewards | None = None
    """In place of `grpo.rewards`: where no question is asked, of the memory or the context."""


class GrpoSection(Section):
    """Group-relative policy optimisation on the task's own reward."""

    split: str = "train"
    """Of `task.folder`; the recipe's `task.split` is for validation."""
    limit: PositiveInt | None = None
    """First training tasks only; null is all."""
    rewards: Rewards = {"em": 1.0}
    """Weights of what is learned from."""
    credit: CreditSection = Field(CreditSection(), exclude_if=lambda value: value == CreditSection())
    """Which tokens are credited with what."""
    curriculum: tuple[PhaseSection, ...] = Field((), exclude_if=lambda value: not value)
    """Phases, one after another and then anew, of agents whose episodes have stages (AgeMem); empty: all at once."""
    unit: Literal["token", "step", "trajectory"] = "token"
    """What weighs the same in the loss: every token (DAPO, papers.md 1.7 `token-mean`), every model call, or
    every trajectory."""
    micro_batch_tokens: PositiveInt = 16_384
    """Most tokens of one forward and backward pass, shared ones once, or padding included; a longer row runs alone."""
    share_prefixes: bool = True
    """Compute a token that several rows begin with once, exactly; where a model does not allow it, rows are padded."""
    validation: PositiveInt | None = 64
    """First tasks of `task.split` that choose the best checkpoint, played greedily; null is all."""
    keep_rollouts: int = Field(0, ge=0)
    """Every so many updates the trajectories are kept as a run folder, those of whole episodes; 0 never."""
    lora: dict[str, Any] | None = None
    """Keywords of peft's LoraConfig; null trains every weight."""
    trainer: Keywords = {}
    """Keywords of TRL's GRPOConfig."""


How = Literal["prompt", "noop", "train"]


class AblateSection(Section):
    """The arms of `atommem ablate`; the defaults are AtomMem v3's Tables 2 and 3 (papers.md 1.8)."""

    drop: tuple[str, ...] = ("update", "delete", "scratchpad", "storage", "storage,scratchpad")
    """Components of the agent, one arm each; several joined by commas go together. An operation, or `storage`: all
    operations of the store; or what the agent itself declares. Those that it does not have are left out."""
    chunk_tokens: tuple[PositiveInt, ...] = (2048, 4096, 8192)
    """Each with each `retrieve_k`; empty: the recipe's own `chunk.tokens`."""
    retrieve_k: tuple[PositiveInt, ...] = (3, 6, 12)
    """Empty: the recipe's own `memory.retrieve_k`."""
    embedders: tuple[Plugin, ...] = ()
    """One arm each."""
    vary: dict[str, tuple[Any, ...]] = Field({}, exclude_if=lambda value: not value)
    """Keys of the recipe that change results, and values for each, one arm each: `agent.filter_threshold: [0.4, 0.5]`.
    Where a key is of `sft` or `grpo`, as in `grpo.rewards: [{em: 1.0}]`, the policy is trained again for each."""
    cross: bool = Field(False, exclude_if=lambda value: not value)
    """Whether every value of `vary` is also played without each of the components: who loses less by it? With `how:
    train` components alone are learned without, and the values are played with what was learned."""
    how: How = "prompt"
    """How a component goes: prompt and noop as `memory.how`; train: as prompt, and the policy is trained again
    without it from where its own training began (the protocol of AtomMem's Figure 4); for `vary` likewise."""


def chunks_of(how: ChunkSection, documents: Sequence[Document], tokenizer: Tokenizer) -> tuple[tuple[Chunk, ...], int]:
    """`chunk_documents` as a recipe says."""
    return chunk_documents(documents, tokenizer, size=how.tokens, overlap=how.overlap, by=how.by, most=how.most)
