from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.core.errors import RecipeError, UsageError
from atommem_cli.core.yaml_file import parse_yaml, read_yaml

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_yaml(text, "mine.yaml")
    message = str(caught.value)
    assert message.startswith("mine.yaml: not readable as YAML: ")
    assert "\n" not in message
    return message


def test_plain_files_are_read_as_ever() -> None:
    assert parse_yaml("a: 1\nb: [x, {c: null}]\n", "m") == {"a": 1, "b": ["x", {"c": None}]}
    assert parse_yaml("a: &x {b: 1, c: 2}\nd: *x\ne:\n  <<: *x\n  b: 3\n", "m")["e"] == {"b": 3, "c": 2}
    assert parse_yaml("", "m") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nseed: 2\n", "line 2: the key 'seed' is there twice"),
        ("a:\n  'x': 1\n  x: 2\n", "line 3: the key 'x' is there twice"),
        ("{a: 1, b: {c: 1, c: 1}}", "line 1: the key 'c' is there twice"),
        ("yes: 1\ntrue: 2\n", "line 2: the key 'true' is there twice"),
        ("? [a, b]\n: 1\n", "line 1: a key is one word"),
        ("a: &x [1, *x]\n", "*x stands inside"),
        ("a: &x {b: {c: *x}}\n", "*x stands inside"),
        ("a: *nowhere\n", "nowhere"),
        (BOMB, "more than 50000 values"),
        ("[" * 10_000, "more than 32 levels deep"),
        ("".join(f"{' ' * i}a:\n" for i in range(60)), "more than 32 levels deep"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1"),
        ("a: 1\n---\nb: 1\n", "line 2"),
        ("a: 2024-13-45\n", "month"),
        ("a: \x00\n", "special characters"),
        ("a: " + "9" * 5000 + "\n", "digits"),
        ("a: 'b\n", "end of stream"),
        ("x" * 2_000_000, "longer than"),
    ],
)
def test_what_a_tolerant_reader_would_swallow_is_one_sentence(text: str, said: str) -> None:
    begun = time.perf_counter()
    assert said in refused(text)
    assert time.perf_counter() - begun < 20


def test_a_file_of_windows_is_read_and_one_of_another_encoding_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_yaml(path) == {"a": 1, "b": 2}
    path.write_bytes("a: 1\n".encode("utf-16"))
    with pytest.raises(RecipeError, match=r"^mine: is not UTF-8 text \(byte 1\)"):
        read_yaml(path, "mine", RecipeError)
    with pytest.raises(UsageError, match=r"^mine: cannot be read: Is a directory"):
        read_yaml(tmp_path, "mine")


@given(st.text(alphabet="ab:[]{}&*-\n 'x!?|>#,\"%@`", max_size=60))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        parse_yaml(text, "m")
