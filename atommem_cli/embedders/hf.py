"""A sentence encoder in this process, through transformers.

The paper's encoder (papers.md 1.3) is `model: Qwen/Qwen3-Embedding-0.6B`, `pooling: last` and, on queries only,
`query_instruction: "Instruct: Given a web search query, retrieve relevant passages that answer the
query\\nQuery:"`. all-MiniLM-L6-v2 is `pooling: mean` without an instruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from atommem_cli.config.schema import OPERATIONAL, Section
from atommem_cli.core.errors import MissingExtra, UsageError
from atommem_cli.models.loading import digest_of_files, load_tokenizer, load_weights, weight_files

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


class Options(Section):
    """Keys of the recipe's `embedder` section."""

    model: str
    """Folder, or hub id that is in the local cache or can be downloaded."""
    pooling: Literal["mean", "cls", "last"] = "mean"
    """How token states become one vector; as the encoder was trained."""
    query_instruction: str = ""
    """Put before queries, and before nothing else."""
    batch: PositiveInt = Field(32, json_schema_extra=OPERATIONAL)
    """Texts per forward pass."""
    max_tokens: PositiveInt = 512
    """Longer texts are cut at the end; special tokens count."""
    device: str = Field("auto", json_schema_extra=OPERATIONAL)
    """As torch names it; auto is cuda where there is one, else cpu."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """How far a vector depends on the others of its batch: 1e-7 per component, in bfloat16 2e-3."""


def build(options: Options) -> HFEmbedder:
    """The encoder, its weights loaded.

    Raises:
        MissingExtra: torch or transformers is not installed, or there is no such model.
        UsageError: the model does not take `max_tokens`, or torch does not know `device`.
    """
    return HFEmbedder(options)


class HFEmbedder:
    """See `memory.Embedder`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._tokenizer, self._model = _load(options)
        config = self._model.config
        most = getattr(config, "max_position_embeddings", options.max_tokens)
        if options.max_tokens > most:
            raise UsageError(f"embedder.max_tokens is {options.max_tokens}, but {options.model} takes {most}")
        self.dimension: int = config.hidden_size

    def embed(self, texts: Sequence[str], *, is_query: bool) -> NDArray[np.float32]:
        """Shape (len(texts), dimension)."""
        if is_query:
            texts = [self._options.query_instruction + text for text in texts]
        vectors = np.empty((len(texts), self.dimension), np.float32)
        if not texts:
            return vectors
        ids = self._tokenize(texts)
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]))  # texts of one length share a batch
        for start in range(0, len(order), self._options.batch):
            chosen = order[start : start + self._options.batch]
            vectors[chosen] = self._forward([ids[i] for i in chosen])
        return vectors

    def describe(self) -> dict[str, str]:
        """Name, model, sha256 of its weights, and the options that change vectors."""
        options = self._options
        return {
            "name": "hf",
            "model": options.model,
            "weights": digest_of_files(weight_files(options.model)),
            "pooling": options.pooling,
            "query_instruction": options.query_instruction,
            "max_tokens": str(options.max_tokens),
            "dtype": options.dtype,
        }

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        clean = [text.encode("utf-8", "replace").decode() for text in texts]  # no lone surrogates
        encoded = self._tokenizer(
            clean, truncation=True, max_length=self._options.max_tokens, split_special_tokens=True
        )
        # Nothing at all is read as one token of padding.
        return [ids or [self._tokenizer.pad_token_id] for ids in encoded["input_ids"]]

    def _forward(self, ids: list[list[int]]) -> NDArray[np.float32]:
        """One batch, of B texts, T tokens, D dimensions."""
        import torch

        with torch.inference_mode():
            padded = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self._model.device)
            states = self._model(**padded).last_hidden_state.float()  # (B, T, D)
            pooled = _pool(states, padded["attention_mask"], self._options.pooling)  # (B, D)
            unit: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return unit


def _pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """(B, T, D), (B, T) -> (B, D); padding is on the right for `cls` and `mean`, on the left for `last`."""
    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        return states[:, -1]
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def _load(options: Options) -> tuple[Any, Any]:
    try:
        import torch
        from transformers import AutoModel
    except ImportError as error:
        raise MissingExtra(f"the hf embedder needs {error.name}: pip install torch transformers") from None
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = load_tokenizer(options.model)
    tokenizer.padding_side = "left" if options.pooling == "last" else "right"
    # Nothing here uses a pooler, and many encoders are stored without theirs.
    model = load_weights(AutoModel, options.model, getattr(torch, options.dtype), optional="pooler")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    try:
        return tokenizer, model.eval().to(device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"embedder.device {options.device}: {' '.join(str(error).split())[:160]}") from None
