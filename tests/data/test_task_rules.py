"""What `prepare` refuses of a task source of the user's own, in one sentence that names the task: nothing that a later
command cannot use gets into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from atommem_cli import prepare
from atommem_cli.core.errors import PluginError, SourceError

SOURCE = '''
"""Two facts, a task each."""
from atommem_cli import Document, Question, Section as Options, SourcePlan, Support, Task

def inputs(source, split, validation):
    return {}

def build(options, request):
    return SourcePlan("facts", "ours", range(2), make)

def make(n):
    documents = (Document("", f"Ada has {n} cats."),)
    questions = (Question(f"q{n}", "How many?", (str(n),), (Support(0, f"{n} cats"),)),)
    return Task(f"facts-{n}", "facts", documents, questions)
'''


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "facts.py").write_text(SOURCE)
    return tmp_path / "facts.py"


BROKEN = [
    ('f"facts-{n}", "f', '"same", "f', "two tasks have the id 'same'"),
    ('f"q{n}"', '"q"', "two questions have the id 'q'"),
    ("(str(n),)", "str(n)", r"facts-0: the question 'How many\?' has the answers '0': a text, and a tuple"),
    ("(str(n),)", "(n,)", r"facts-0: the question 'How many\?' has the answers \(0,\)"),
    ("(str(n),)", "(' ',)", r"facts-0: the question 'How many\?' has the answers \(' ',\)"),
    ('"How many?"', '" "', "facts-0: the question ' ' has the answers"),
    ('{n} cats"),)', 'dogs"),)', "facts-0: the gold fact 'dogs' does not stand in document 0"),
    ("Support(0", "Support(n", "facts-1: a gold fact of .* is in document 1 of 1"),
    ("Support(0", "Support(0.0", "facts-0: a gold fact of .* is in document 0.0 of 1"),
    ("cats.", "\\udfff cats.", "facts-0: the gold fact"),
    (", questions)", ", [*questions])", "facts-0 has the questions .*: a tuple of `Question` is wanted"),
    ('"", f"Ada', 'n, f"Ada', "facts-0 has a document whose text or title is no text"),
    ('(str(n),), (Sup', '(str(n),), kind=n, supporting=(Sup', "facts-0 cannot be read .*, its questions.0.kind is 0"),
    ("return Task(", "return None and (", "make gives None: a `Task` is wanted"),
    ('"facts", "ours", range', '"facts", None, range', "source is 'facts' and licence None"),
    ("return {}", "return {'facts.jsonl': 1}", r"inputs gives \{'facts.jsonl': 1\}: a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), BROKEN, ids=[new for _, new, _ in BROKEN])
def test_what_cannot_be_used_later_is_not_prepared(old: str, new: str, told: str, facts: Path, tmp_path: Path) -> None:
    assert old in SOURCE
    facts.write_text(SOURCE.replace(old, new))
    with pytest.raises(SourceError, match=told) as caught:
        prepare("./facts.py", out="out")
    assert "`atommem check tasks ./facts.py`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    facts.write_text(SOURCE)
    assert prepare("./facts.py", out="out").tasks == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_of_its_code_is_told_by_file_line_and_task(workers: int, facts: Path) -> None:
    facts.write_text(SOURCE.replace("range(2)", "range(9)").replace('Document("",', 'Document(f"{1 // (7 - n)}",'))
    told = r"^facts\.py, line 12: the plug-in fails, at task 7: ZeroDivisionError: integer .* by zero$"
    with pytest.raises(PluginError, match=told):
        prepare("./facts.py", out="out", workers=workers)
    facts.write_text(SOURCE.replace("range(2)", "rang(2)"))
    with pytest.raises(PluginError, match=r"^facts\.py, line 9: the plug-in fails, at its plan: NameError: .*'rang'"):
        prepare("./facts.py", out="out")
