"""Long-context tasks from QA records: the documents of some questions, lost among others of the same split.

AtomMem's construction (papers.md 1.4; RUCBM/AtomMem 7b50580, taskutils/script): consecutive questions of the
split form a task; its documents are all paragraphs of its questions and random filler from the split, up to
`docs`, shuffled. Unlike there, every draw depends on (seed, task id) alone: gold lies anywhere, and any
number of workers makes the same bytes. The paper prepared 20,000 questions for training and 600 for
validation (its data_size counts questions, our `limit` counts tasks).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from atommem_cli.config.schema import Section
from atommem_cli.core.errors import UsageError
from atommem_cli.core.seeds import derive
from atommem_cli.core.types import Document, Question, Support, Task
from atommem_cli.data.files import Filter, Plan, Request, sha256
from atommem_cli.data.split_guard import beside, digest
from atommem_cli.tasks._document_pool import Entry, Questions, Shelf, Writer
from atommem_cli.tasks._files import files
from atommem_cli.tasks._hub import read_hub
from atommem_cli.tasks._records import Layout, RawRow, other_split, read_local
from atommem_cli.tasks._swap import Own, extent, names, swap

MOST_QUESTIONS = 10
SINGLE = 0.5
"""Chance of one question, the rest being shared by 2..10: AtomMem's draw (papers.md 1.1)."""
FILTER_BATCH = 64
"""Questions given to a filter at once."""

Job = tuple[int, tuple[int, ...]]
"""A task's index and the numbers of its questions."""


class Options(Section):
    """What a recipe may set."""

    docs: int = Field(200, ge=1)
    """Documents per task. Fewer questions go into a task whose own paragraphs would not fit; gold stays."""
    questions: Literal["mix"] | Annotated[int, Field(ge=1)] = "mix"
    """Questions per task; mix: 1 with probability 0.5, 2..10 with 0.5 / 9 each."""
    swap: bool = False
    """Whether the names in gold documents and answers are replaced by invented ones (see `_swap`); documents,
    questions and their order are the same with and without."""

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Folders that were prepared when there was no `swap` stay the same."""
        content: dict[str, Any] = dump(self)
        return content if self.swap else {key: value for key, value in content.items() if key != "swap"}


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes one task; small enough to be sent to a worker."""

    shelf: Shelf
    questions: Questions
    docs: int
    seed: int
    prefix: str
    source: str
    swap: bool

    def __call__(self, job: Job) -> Task:
        index, numbers = job
        task = f"{self.prefix}-{index:05d}"
        rng = Random(derive(self.seed, task, "documents"))
        entries = [self.questions[number] for number in numbers]
        own = _own(rng, entries, self.docs)
        chosen = own + _filler(rng, self.shelf, own, self.docs)
        rng.shuffle(chosen)
        place = {number: at for at, number in enumerate(chosen)}
        documents: tuple[Document, ...] = tuple(self.shelf[number] for number in chosen)
        questions = tuple(
            replace(e.question, supporting=tuple(Support(place[at], text) for at, text in e.supporting))
            for e in entries
        )
        made = Task(task, self.source, documents, questions)
        if not self.swap:
            return made
        asked = _asked(self.shelf, entries)
        return swap(made, names(asked), asked, Random(derive(self.seed, task, "swap")))

    def others(self, job: Job, rng: Random) -> Iterator[Document]:
        """Passages of other questions in random order, none of them with a title of this task's own questions."""
        seen = _blocked(self.shelf, [at for number in job[1] for at in self.questions[number].documents])
        while len(seen) < len(self.shelf):
            number = rng.randrange(len(self.shelf))
            if number not in seen:
                seen.add(number)
                yield self.shelf[number]


def build(layout: Layout, options: Options, request: Request) -> Plan:
    """Read the records of a split and plan its tasks.

    Raises:
        SourceError: records are missing, damaged or of another schema.
        UsageError: the split has fewer documents than `docs`.
    """
    skipped: dict[str, int] = {}
    writer = Writer(request.scratch)
    rows, origin = _rows(layout, request.split, request)
    elsewhere, checked = _validation_questions(layout, request)
    ids: set[str] = set()
    read = lost = 0
    for read, row in enumerate(rows, start=1):
        record = layout.read(row)
        if not isinstance(record, str):
            record = refusal(record.question, ids, elsewhere) or record
        if isinstance(record, str):
            skipped[record] = skipped.get(record, 0) + 1
        else:
            ids.add(record.question.id)
            lost += record.lost
            writer.add(record)
        request.progress(read)
    shelf, questions = writer.finish()

    prefix = f"{layout.name}-{request.split}"
    most = len(shelf)
    jobs: list[Job] = []
    swapped: Counter[str] = Counter()
    if most >= options.docs:
        kept = _kept(questions, request.keep, skipped)
        for group in _groups(kept, options, prefix, request):
            entries = [entry for _, entry in group]
            jobs.append((len(jobs), tuple(number for number, _ in group)))
            most = min(most, _capacity(shelf, entries, options.docs))
            if options.swap:
                found = names(_asked(shelf, entries))
                swapped.update(extent(entry.question, found) for entry in entries)
    if most < options.docs and len(questions):
        raise UsageError(
            f"docs={options.docs}: {prefix} has {len(shelf)} different documents, and none of the same title as "
            f"a question's own is used as filler; docs can be {most} at most"
        )
    if not len(questions):
        raise no_task(prefix, skipped)
    maker = Maker(shelf, questions, options.docs, request.seed, prefix, layout.name, options.swap)
    return Plan(
        layout.name, layout.licence, jobs, maker, read, skipped, lost, len(shelf), origin, dict(swapped), checked,
        maker.others,
    )  # fmt: skip


_LEFT_OUT = {
    "blank": "without a text or an answer (in a test set the answers are blank, and it cannot be scored)",
    "duplicate_id": "with the id of another one",
    "filtered": "known without reading (--closed-book-filter)",
    "in_validation": "asked by validation, too",
    "other_kind": "of a kind that the option kinds does not name",
    "other_subset": "of a context that the option subsets does not name",
    "unanswerable": "marked as not answerable",
}
"""Why questions are left out, by the names that manifests have for it."""


def no_task(prefix: str, skipped: Mapping[str, int]) -> UsageError:
    """No question is left to ask.

    Args:
        prefix: source and split.
        skipped: questions left out, by reason.
    """
    said = ", ".join(f"{count} {_LEFT_OUT.get(name, name)}" for name, count in sorted(skipped.items()))
    why = f"all are left out: {said}" if said else "its records ask none"
    return UsageError(f"{prefix}: there is no usable question, so there is no task: {why}")


def _rows(layout: Layout, split: str, request: Request) -> tuple[Iterator[RawRow], tuple[str, ...]]:
    if request.source is None:
        return read_hub(layout, split)
    return read_local(layout, files(request.source, split, layout.prefer), split), ()


def _validation_questions(layout: Layout, request: Request) -> tuple[set[bytes], dict[str, str]]:
    """Digests of the questions that training must not see, and where they are from: the validation split, where it is
    at hand."""
    found: set[bytes] = set()
    checked: dict[str, str] = {}
    if request.split != "train":
        return found, checked
    if request.source is None:
        rows, origin = read_hub(layout, "validation")
        found |= {digest(row["question"]) for row in rows}
        checked |= dict.fromkeys(origin or (layout.hub,), "hub")
    others = other_split(layout, request.source, "train", request.validation)
    found |= {digest(row["question"]) for row in read_local(layout, others, "validation")}
    checked |= {path.name: sha256(path) for path in others}
    return found | beside(request.beside, checked), checked


def refusal(question: Question, ids: set[str], elsewhere: set[bytes]) -> str:
    """Why a question cannot be used; empty where it can.

    Args:
        ids: of those before it.
        elsewhere: digests of those that must not be asked.
    """
    if not question.text.strip() or not question.answers[0].strip():
        return "blank"
    if question.id in ids:
        return "duplicate_id"
    return "in_validation" if digest(question.text) in elsewhere else ""


def _kept(questions: Questions, keep: Filter | None, skipped: dict[str, int]) -> Iterator[tuple[int, Entry]]:
    """Questions that pass the filter; it is asked no further than tasks need them."""
    if keep is None:
        yield from enumerate(questions)
        return
    for start in range(0, len(questions), FILTER_BATCH):
        batch = [(n, questions[n]) for n in range(start, min(start + FILTER_BATCH, len(questions)))]
        verdicts = keep([entry.question for _, entry in batch])
        skipped["filtered"] = skipped.get("filtered", 0) + verdicts.count(False)
        yield from (item for item, good in zip(batch, verdicts, strict=True) if good)


def _groups(
    asked: Iterator[tuple[int, Entry]], options: Options, prefix: str, request: Request
) -> Iterator[list[tuple[int, Entry]]]:
    """The questions of each task: as many as drawn, fewer where their documents would not fit together."""
    waiting: tuple[int, Entry] | None = None
    for index in count() if request.limit is None else range(request.limit):
        wanted = _draw(request.seed, f"{prefix}-{index:05d}", options.questions)
        group: list[tuple[int, Entry]] = []
        documents: set[int] = set()
        while len(group) < wanted and (waiting := waiting or next(asked, None)) is not None:
            together = documents.union(waiting[1].documents)
            if group and len(together) > options.docs:
                break
            group.append(waiting)
            documents, waiting = together, None
        if not group:
            return
        yield group


def _draw(seed: int, task: str, questions: int | Literal["mix"]) -> int:
    if questions != "mix":
        return questions
    rng = Random(derive(seed, task, "questions"))
    return 1 if rng.random() < SINGLE else rng.randint(2, MOST_QUESTIONS)


def _asked(shelf: Shelf, entries: Sequence[Entry]) -> list[Own]:
    """The questions with the documents they came with."""
    return [
        Own(entry.question, tuple(shelf[n] for n in entry.documents), tuple(shelf[n] for n in entry.gold))
        for entry in entries
    ]


def _own(rng: Random, entries: Sequence[Entry], docs: int) -> list[int]:
    """The questions' own documents; where a single question has more than `docs`, its gold and some others."""
    own = list(dict.fromkeys(number for entry in entries for number in entry.documents))
    if len(own) <= docs:
        return own
    gold = list(dict.fromkeys(number for entry in entries for number in entry.gold))
    others = [number for number in own if number not in gold]
    return gold + rng.sample(others, k=max(0, docs - len(gold)))


def _blocked(shelf: Shelf, own: Sequence[int]) -> set[int]:
    return {other for number in own for other in shelf.alike(number)}


def _filler(rng: Random, shelf: Shelf, own: Sequence[int], docs: int) -> list[int]:
    """Documents of the split up to `docs`, none of them with the title of one that is there already."""
    need = max(0, docs - len(own))
    blocked = _blocked(shelf, own)
    drawn = rng.sample(range(len(shelf)), k=min(len(shelf), need + len(blocked)))
    return [number for number in drawn if number not in blocked][:need]


def _capacity(shelf: Shelf, entries: Sequence[Entry], docs: int) -> int:
    """How many documents a task of these questions can have."""
    own = _own(Random(0), entries, docs)
    return max(docs if len(own) >= docs else 0, len(own) + len(shelf) - len(_blocked(shelf, own)))
