"""A dialect of one's own is a file; what is wrong with it is one sentence that names file and key."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import pytest

import atommem_cli
from atommem_cli.core.errors import UsageError
from atommem_cli.dialects import dialect
from atommem_cli.dialects.wording import find, pieces

PAPER = (Path(atommem_cli.__file__).parent / "dialects" / "paper.yaml").read_text("utf-8")


def test_a_file_is_a_dialect_with_its_own_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(PAPER.replace("create_memory", "keep"), encoding="utf-8")
    mine, paper = dialect.load("./mine.yaml"), dialect.load("paper")
    assert mine.name == "./mine.yaml"
    assert len(mine.digest) == 16
    assert mine.digest != paper.digest
    assert [op.text for op in mine.parse("<keep>a</keep><create_memory>b</create_memory>")] == ["a"]
    Path("mine.yaml").write_text(PAPER, encoding="utf-8")
    assert dialect.load("mine.yaml").digest == paper.digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("boxed: false\n", "boxed: false\nboxed: true\n", "the key 'boxed' is there twice"),
        ("boxed: false\n", "", "boxed: this key is needed"),
        ("boxed: false\n", "boxt: false\n", "boxt: unknown key; did you mean 'boxed'?"),
        ("boxed: false\n", "boxed: perhaps\n", "boxed: Input should be a valid boolean"),
        ("  answer: answer\n", "", "tags: one for each of"),
        ("  answer: answer\n", "  answer: answer\n  ask: x\n", "tags: one for each of"),
        ("  answer: answer\n", "  answer: read_memory\n", "tags: two of them are the same"),
        ("  answer: answer\n", "  answer: <answer>\n", "tags.answer: '<answer>' is no name of a tag"),
        ('"Memory ${number}: ${text}"', '"Memory ${number}"', "memory: shows an entry"),
        ("    ${chunk}\n", "    ${chunks}\n", "reading.chunk: no field ${chunks}; did you mean 'chunk'?"),
        ("    ${chunk}\n", "    chunk\n", "reading: nothing shows ${chunk}"),
        ("    ${chunk}\n", "    ${chunk} for 5$\n", "reading.chunk: a $ that begins no field"),
        ("boxed: false\n", "boxed: false\nplaceholders: {qwery: x}\n", "placeholders.qwery: no such field"),
        ("boxed: false\n", "boxed: false\ntold: [answering]\n", "told: no 'answering'"),
        ("boxed: false\n", "boxed: false\nmemory_tokens: 0\n", "memory_tokens: Input should be greater than 0"),
        ("  create: |\n", "  destroy: |\n", "manual.destroy: Input should be 'create'"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in PAPER
    path = tmp_path / "mine.yaml"
    path.write_text(PAPER.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        find(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert "\n" not in message


def test_a_file_that_is_no_dialect(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        find(str(path))
    path.write_text("- a\n")
    with pytest.raises(UsageError, match="a dialect is a mapping of keys"):
        find(str(path))
    with pytest.raises(UsageError, match="or a path that ends in"):
        find("mine")


def test_a_template_in_pieces() -> None:
    assert pieces("a ${b} c $d$$") == ("a ", "b", " c ", "d", "$")
    assert pieces("plain") == ("plain",)


def test_a_dialect_like_another_one_says_only_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(
        "like: paper\nnothing: none\norder:\n  closed_book: [task, question]\n", encoding="utf-8"
    )
    (mine, digest), (paper, of_paper) = find("mine.yaml"), find("paper")
    assert mine.nothing == "none"
    assert list(mine.closed_book) == ["task", "question"]
    assert mine.model_copy(update={"nothing": paper.nothing, "closed_book": paper.closed_book}) == paper
    Path("mine.yaml").write_text("like: released\n", encoding="utf-8")
    assert len({digest, of_paper, find("mine.yaml")[1], find("released")[1]}) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("like: papre\n", "like: name one of paper, paper_shared, released, small, tiny, tiny_reads (given: 'papre')"),
        ("like: paper_shared\n", "like: paper_shared is like another one itself: name that"),
        (
            "like: paper\norder: {reading: [chunk]}\n",
            "order.reading: each of these once is wanted: questions, scratchpad",
        ),
        ("like: paper\norder: {manual: [create]}\n", "order.manual: each of these once is wanted: a section (reading"),
        ("like: paper\norder: first\n", "order.order: each of these once is wanted: a section"),
        ("like: paper\nboxt: true\n", "boxt: unknown key; did you mean 'boxed'?"),
    ],
)
def test_what_is_wrong_with_a_likeness_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        find(str(path))
    assert said in str(raised.value)


def test_rollouts_begin_alike_up_to_the_end_of_the_chunk() -> None:
    fields = {"questions": "Who?", "chunk": "The chunk is long. " * 20, "query": "q"}

    def prompts(name: str) -> list[str]:
        spoken = dialect.load(name)
        material = [{**fields, "scratchpad": notes, "memories": notes} for notes in ("one", "another")]
        return [spoken.messages("reading", shown)[-1].content for shown in material]

    both = {name: prompts(name) for name in ("paper", "paper_shared")}
    assert all(sorted(a.split()) == sorted(b.split()) for a, b in zip(*both.values(), strict=True))  # the same words
    common = {
        name: "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False)))
        for name, texts in both.items()
    }
    assert fields["chunk"].strip() in common["paper_shared"]
    assert len(common["paper_shared"]) > 5 * len(common["paper"])
