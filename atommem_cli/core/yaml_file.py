"""YAML as users write it, read strictly: what a tolerant reader would swallow is one sentence."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import yaml

from atommem_cli.core.errors import UsageError

_MOST_BYTES = 1 << 20
_DEEPEST = 32
"""Levels of lists and mappings in each other."""
_MOST_NODES = 50_000
"""Words, lists and mappings, each repetition by an alias counted again."""


def read_yaml(path: Path, name: str | None = None, error: type[UsageError] = UsageError) -> Any:
    """The content of a YAML file, as `parse_yaml`.

    Args:
        name: what the user knows the file by; errors begin with it.

    Raises:
        UsageError: it cannot be opened, is not UTF-8, or `parse_yaml` refuses it; of the class `error`.
    """
    name = str(path) if name is None else name
    try:
        raw = path.read_bytes()
    except OSError as reason:
        raise error(f"{name}: cannot be read: {reason.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise error(f"{name}: is not UTF-8 text (byte {reason.start + 1}): save it as UTF-8") from None
    return parse_yaml(text, name, error)


def parse_yaml(text: str, name: str, error: type[UsageError] = UsageError) -> Any:
    """The one document that a text holds, of plain values only.

    Args:
        name: what the user knows the text by; errors begin with it.

    Raises:
        UsageError: no YAML, a key twice in one mapping, an alias of what it stands in, aliases that grow beyond
            all measure, too deep or too long; of the class `error`.
    """
    if len(text) > _MOST_BYTES:
        raise error(f"{name}: not readable as YAML: longer than {_MOST_BYTES} characters")
    try:
        return copy.deepcopy(_parsed(text))
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as reason:
        raise error(f"{name}: not readable as YAML: {_sentence(reason)}") from None


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    """A process reads the same recipes and dialects again and again; PyYAML takes a millisecond for a dozen lines."""
    loader = _Strict(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Strict(yaml.SafeLoader):
    """PyYAML's safe loader, which knows no limits and takes the last of equal keys."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0
        """Composed so far, aliases expanded."""
        self._sizes: dict[str, int] = {}
        """Nodes of each finished anchor."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        anchor: str | None = event.anchor
        if isinstance(event, yaml.AliasEvent):
            if anchor in self.anchors and anchor not in self._sizes:
                raise _Refusal(f"*{anchor} stands inside of what it names", event.start_mark)
            self._count(self._sizes.get(anchor or "", 0), event)
            return super().compose_node(parent, index)
        before = self._nodes
        self._count(1, event)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Refusal(f"more than {_DEEPEST} levels deep", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if anchor is not None:
            self._sizes[anchor] = self._nodes - before
        return node

    def _count(self, more: int, event: yaml.Event) -> None:
        self._nodes += more
        if self._nodes > _MOST_NODES:
            raise _Refusal(f"more than {_MOST_NODES} values, aliases counted as what they name", event.start_mark)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Refusal("a key is one word, not a list or mapping", key.start_mark)
            merges = key.tag == "tag:yaml.org,2002:merge"
            value = key.value if merges else self.construct_object(key)
            if value in seen:
                raise _Refusal(f"the key {key.value!r} is there twice", key.start_mark)
            seen.add(value)
        return node


class _Refusal(yaml.MarkedYAMLError):
    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


def _sentence(reason: Exception) -> str:
    """What is wrong and on which line, without the excerpt."""
    if isinstance(reason, yaml.MarkedYAMLError) and reason.problem:
        mark = reason.problem_mark or reason.context_mark
        return f"line {mark.line + 1}: {reason.problem}" if mark else reason.problem
    return " ".join(str(reason).split())[:200]
