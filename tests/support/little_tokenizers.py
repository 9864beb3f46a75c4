"""Little tokenizers of every family, each with a chat template."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from atommem_cli.core.stream_words import VOCABULARY
from atommem_cli.models import tiny

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
)
HERMES = (
    "{% if tools %}<|im_start|>system\n{{ messages[0]['content'] ~ '\n' if messages[0]['role'] == 'system' else '' }}"
    "<tools>{% for tool in tools %}{{ '\n' ~ (tool | tojson) }}{% endfor %}{{ '\n' }}</tools>\n"
    "Each call: <tool_call>JSON</tool_call><|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'tool' %}"
    "{% if loop.previtem['role'] != 'tool' %}<|im_start|>user{% endif %}"
    "{{ '\n' }}<tool_response>\n{{ m['content'] }}\n</tool_response>"
    "{% if loop.last or loop.nextitem['role'] != 'tool' %}<|im_end|>\n{% endif %}"
    "{% elif not (tools and loop.first and m['role'] == 'system') %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""With tools, as Hermes 3, Qwen 2.5 and Qwen 3: results of one reply stand in one turn of the user's."""
TEXT = "Ada was born in Velt. Where does Bo live? {id: 3} größe 日本 \U0001f600 " * 3


def hermes() -> Any:
    """As `bpe`, with marks of tools and a template that knows them."""
    made = bpe()
    marks = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
    made.add_tokens([AddedToken(mark, special=False) for mark in marks])
    made.chat_template = HERMES
    return made


def bpe() -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    return _fast(made)


def metaspace() -> Any:
    """As Llama 2 and Gemma: words begin with a mark, the first one, too."""
    letters = sorted(set(TEXT + CHATML + "systemuserassistant▁|<>_/0123456789abcdefghijklmnopqrstuvwxyz"))
    pieces = [("<unk>", 0.0), *((letter, -5.0) for letter in letters), *(("▁" + x, -6.0) for x in letters)]
    made = Tokenizer(models.Unigram(pieces, 0))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Metaspace()
    return _fast(made, unk_token="<unk>")


def wordpiece() -> Any:
    words = ["[UNK]", *sorted({*TEXT.lower().split(), "system", "user", "assistant", "[SEP]"})]
    letters = [*"abcdefghijklmnopqrstuvwxyz<>|_/[]", *(f"##{x}" for x in "abcdefghijklmnopqrstuvwxyz|_")]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([*words, *letters]))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _fast(made, unk_token="[UNK]", sep_token="[SEP]")


def words() -> Any:
    return tiny.build_tokenizer((*tiny.MARKS, *VOCABULARY))


def _fast(made: Tokenizer, **special: str) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHATML,
        **special,
    )
