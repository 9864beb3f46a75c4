"""Sentence encoders of a few thousand random parameters, as folders of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *"abcdefghij", *(f"word{i}" for i in range(50))]


def bert(folder: Path) -> Path:
    """Of BERT's kind, with 16 positions."""
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
    )
    around = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return save(folder, BertModel, config, around, pad_token="[PAD]")


def save(folder: Path, kind: Any, config: Any, processor: Any, **special: str) -> Path:
    """A model of any kind with a tokenizer of `WORDS`."""
    torch.manual_seed(0)
    kind(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processor
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", **special).save_pretrained(folder)
    return folder
