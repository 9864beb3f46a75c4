"""A language model of about 0.2 M parameters over a closed vocabulary, for tests and the embedded default.

Its first layer sees six tokens only, so it *is* a previous-token head: copying from the context is then
learnt in tens of training steps instead of thousands (findings.md 2). Freshly initialised it writes noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

NAME, AGEMEM = "tiny", "tiny_agemem"
"""Of the model, in recipes: they differ in their words alone. The second knows the tools of `agemem`, too."""
_TAGS = ("create", "read", "update", "delete", "scratchpad", "answer")
MARKS = (
    *(f"<{slash}{tag}>" for tag in _TAGS for slash in ("", "/")),
    *("system", "user", "assistant", "chunk", "scratchpad", "notes", "query", "memory", "question", "answer", "none"),
    *(str(number) for number in range(1, 13)),
    *(":", ".", "?"),
)
"""What the dialect `tiny` is written in, beside the words of the task: tags, headings, numbers of entries."""
VOCABULARIES = {
    NAME: MARKS,
    AGEMEM: (
        *MARKS,
        *(f"<{slash}{tag}>" for tag in ("summary", "filter") for slash in ("", "/")),
        "tool",
        *(str(number) for number in range(13, 41)),
    ),
}
"""Of each name. AgeMem's ids count every entry and every message of an episode."""

PAD, UNKNOWN, END = "<pad>", "<unk>", "<end>"
WINDOW = 2048
"""Tokens that the model takes, prompt and reply together."""
FIRST_WINDOW = 6
"""Tokens that the first layer attends to: the token itself and the five before it."""

_WORD = r"</?\w+>|\w+|[^\w\s]"
# A reply starts after the word `assistant`; a conversation is a prefix of the longer one, as SFT wants it.
_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} {{ message['content'] }} " + END + " {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


def build_tokenizer(words: Sequence[str], window: int = WINDOW) -> PreTrainedTokenizerFast:
    """One token per word, tag or punctuation mark; line breaks are not seen, other words are `<unk>`.

    Args:
        words: the vocabulary beside the special tokens; repeated words count once.
        window: tokens that the model can take.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(dict.fromkeys((PAD, UNKNOWN, END, *words)))}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    fast.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        model_max_length=window,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=_TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int, layers: int = 3) -> Qwen3ForCausalLM:
    """A freshly initialised model for that tokenizer, float32 on the CPU; the same weights for the same seed."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=tokenizer.model_max_length,
        tie_word_embeddings=True,
        initializer_range=0.05,  # with the usual 0.02 copying takes twice as long to appear
        use_sliding_window=True,
        sliding_window=FIRST_WINDOW,
        layer_types=["sliding_attention"] + ["full_attention"] * (layers - 1),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config).eval()


def save(folder: Path, model: Any, tokenizer: Any) -> None:
    """Write both as a model folder that `transformers` and this program load."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
