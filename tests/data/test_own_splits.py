"""The splits of a source of the user's own: what `prepare` says of them is true, and its advice can be followed."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import atommem, complaint

SOURCE = '''
"""Facts of a file, a task each."""
import hashlib
from pathlib import Path
from atommem_cli import Document, Question, Section as Options, SourcePlan, Task

def inputs(source, split, validation):
    return {source: hashlib.sha256(Path(source).read_bytes()).hexdigest()}

def build(options, request):
    facts = Path(request.source).read_text().split()
    return SourcePlan("facts", "ours", facts, make)

def make(fact):
    return Task(fact, "facts", (Document("", fact),), (Question(fact, f"Which {fact}?", (fact,)),))
'''
APART = SOURCE.replace(".split()", ".split()[request.split == 'train' :: 2]")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "facts.py").write_text(SOURCE)
    (tmp_path / "apart.py").write_text(APART)
    (tmp_path / "one.txt").write_text("a b c d")
    (tmp_path / "two.txt").write_text("c d e f")
    return tmp_path


def test_a_file_without_splits_is_refused_by_what_it_shares(there: Path) -> None:
    told = complaint("prepare", "./facts.py", "--source", "one.txt", cwd=there)
    assert told == (
        "atommem: 4 questions of validation are in data/facts/train, too: both are made of one.txt: say which --split "
        "its records are, with an --out of its own"
    )
    atommem("prepare", "./facts.py", "--source", "one.txt", "--split", "validation", "--out", "data/own", cwd=there)


def test_a_source_that_deals_a_file_out_needs_no_split_and_is_compared(there: Path) -> None:
    done = atommem("prepare", "./apart.py", "--source", "one.txt", cwd=there)
    assert "not checked" not in done.stderr
    again = atommem("prepare", "./apart.py", "--source", "one.txt", "--split", "train", "--out", "data/b", cwd=there)
    assert "data/b/train: not checked against questions of validation; prepare it beside" in again.stderr


def test_two_files_that_share_questions_are_for_the_source_to_keep_apart(there: Path) -> None:
    atommem("prepare", "./facts.py", "--source", "one.txt", "--split", "dev", cwd=there)
    for force in ([], ["--force"]):
        told = complaint("prepare", "./facts.py", "--source", "two.txt", "--split", "train", *force, cwd=there)
        assert told == (
            "atommem: 2 questions of validation are in data/facts/train, too: its source has to leave them out of "
            "train: request.beside is the prepared folder of validation"
        )


def test_what_takes_no_file_says_so_and_a_data_set_asks_for_the_split(there: Path) -> None:
    assert "stream is generated: leave out --source" in complaint("prepare", "stream", "--source", "one.txt", cwd=there)
    assert "one.txt is one file: say which --split it is" in complaint(
        "prepare", "hotpotqa", "--source", "one.txt", cwd=there
    )
