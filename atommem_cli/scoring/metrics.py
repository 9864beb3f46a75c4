"""Published answer scorers, each under a name of its own: (answer, question) -> [0, 1], of `stale` [-1, 1].

Every scorer takes the best value over the accepted answers of *its own* question and gives 0 to an answer
without text: a failed episode is wrong, whatever the gold. (The official scripts give it 1 where the gold
normalises to nothing: "The The", "A".) For every other answer `em`, `f1`, `f1_musique` and `boxed_em` equal the
official scripts; where the rest differ from theirs, their docstrings say so. Those of this file see nothing of a
question but its accepted answers.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Answer, Question
from atommem_cli.dialects import dialect
from atommem_cli.scoring import staleness
from atommem_cli.scoring.locomo import locomo_f1
from atommem_cli.scoring.normal import normalise
from atommem_cli.scoring.overlap import overlap_f1

Scorer = Callable[[Answer, Question], float]

_PUNCTUATION_TO_SPACE = str.maketrans(dict.fromkeys(string.punctuation, " "))
_STOPS_TO_SPACE = str.maketrans(dict.fromkeys(".,!?", " "))
_CLOSED_ANSWERS = frozenset({"yes", "no", "noanswer"})


def em(answer: Answer, golds: tuple[str, ...]) -> float:
    """Exact match after `normalise` (sources there; the three scripts agree)."""
    return _best(_exact, answer.text, golds)


def f1(answer: Answer, golds: tuple[str, ...]) -> float:
    """F1 of word multisets with the rule of HotpotQA and 2Wiki: yes, no and noanswer match only themselves.

    hotpotqa/hotpot@4c0fa5e hotpot_evaluate_v1.py `f1_score`; two texts without words score 0 there.
    """
    return _best(_closed_f1, answer.text, golds)


def f1_musique(answer: Answer, golds: tuple[str, ...]) -> float:
    """F1 of word multisets, without a rule for yes and no; two texts without words score 1.

    StonyBrookNLP/musique@8b8d8ce metrics/answer.py `compute_f1`.
    """
    return _best(_open_f1, answer.text, golds)


def boxed_em(answer: Answer, golds: tuple[str, ...]) -> float:
    r"""Equality of the reply's last \boxed{} with a gold: the reward of MemAgent and AtomMem.

    Reads the last 300 characters of `Answer.reply`, lower-cased; both sides pass the string cleaner of
    hendrycks-math, which drops newlines, spaces and some LaTeX, but neither articles nor punctuation. No box,
    no point. RUCBM/AtomMem@238d36c AtomMem/verl/utils/reward_score/hotpotqa.py `compute_score`; its caller
    passes the golds of the whole task, ours those of one question.
    """
    boxed = _last_boxed(answer.reply[-300:].lower())
    if boxed is None:
        return 0.0
    cleaned = _strip_latex(boxed)
    return float(any(cleaned == _strip_latex(gold.lower()) for gold in golds))


def sub_em(answer: Answer, golds: tuple[str, ...]) -> float:
    """One of answer and gold contains the other after `normalise`: MemAgent's evaluation (its "sub-EM").

    BytedTsinghua-SIA/MemAgent@7e63acc taskutils/memory_eval/ruler_hqa.py (`judge_sub_em`) looks at the first
    gold alone and counts the empty string as contained in everything, so that "The." answers any question;
    here a side without words matches only another one. It is given what it extracted, a box or what follows "the
    answer is", and nothing else scores; ours is given the answer, which is the whole reply where that has no tags, so
    that a rambling one gains (a run's table counts answers without tags).
    """
    return _best(_contained, answer.text, golds)


def substring_em(answer: Answer, golds: tuple[str, ...]) -> float:
    """A gold stands in the answer after `normalise`: MemoryAgentBench's "substring exact match".

    HUST-AI-HYZ/MemoryAgentBench utils/eval_other_utils.py `substring_exact_match_score`, read in copies: no commit to
    pin. It takes the better of the whole reply and of what follows "Answer:" in it, which is the same for a part of a
    text, and finds a gold that normalises to nothing everywhere, which here matches only another such text.
    """
    return _best(_within, answer.text, golds)


def substring(answer: Answer, golds: tuple[str, ...]) -> float:
    """A gold stands in the answer, both lower-cased and otherwise as they are: Mem-alpha's HotpotQA score.

    wangyu-ustc/Mem-alpha@640ca8d evaluate_agent_results.py `_compute_score`; it looks at the first gold alone.
    """
    return _best(_stands_in, answer.text, golds)


def mem1_em(answer: Answer, golds: tuple[str, ...]) -> float:
    """Equality after lower case and punctuation -> space, articles kept: MEM1.

    MIT-MI/MEM1@6f22061 Mem1/inference/eval.py `compute_score`, which sums over the questions of a task and
    gives 0 to all of them if their number is wrong; here each question has its own score.
    """
    return _best(_mem1_equal, answer.text, golds)


def amem_f1(answer: Answer, golds: tuple[str, ...]) -> float:
    """F1 of word *sets*, of the punctuation only . , ! ? dropped: A-MEM ("new york new york" = "new york").

    WujiangXu/AgenticMemory utils.py `calculate_metrics` (arXiv 2502.12110), read in a copy: no commit to pin.
    """
    return _best(_set_f1, answer.text, golds)


def _by_golds(scorer: Callable[[Answer, tuple[str, ...]], float]) -> Scorer:
    @wraps(scorer)
    def scored(answer: Answer, question: Question) -> float:
        return scorer(answer, question.answers)

    return scored


_OF_GOLDS = (em, f1, f1_musique, boxed_em, sub_em, substring_em, substring, mem1_em, amem_f1)
_OF_QUESTIONS: tuple[Scorer, ...] = (locomo_f1, staleness.stale)
SCORERS: dict[str, Scorer] = {scorer.__name__: _by_golds(scorer) for scorer in _OF_GOLDS}
SCORERS |= {scorer.__name__: scorer for scorer in _OF_QUESTIONS}

_OFFICIAL = {
    "musique": ("em", "f1_musique"),
    "records": ("em", "f1", "sub_em"),  # one's own questions are asked of models that answer in sentences, too
    "memagent": ("sub_em", "em", "f1"),
    "memory_agent_bench": ("substring_em", "em", "f1"),
    "locomo": ("locomo_f1", "em"),
    "longmemeval": ("f1", "em"),
}
NEED_A_BOX = ("boxed_em",)
"""Scorers that read \\boxed{} in a reply alone: 0 for everything where the prompt asks for none."""


def lowest(scorer: str) -> float:
    """The least score that there can be; the best is 1."""
    return staleness.LOWEST if scorer == staleness.NAME else 0.0


def never(agent: Mapping[str, Any] | None) -> dict[str, str]:
    r"""Scorers, and rewards of their names, that are 0 whatever an agent's answers are, and why.

    Args:
        agent: its options, or what it describes; one without a dialect of ours is not known.
    """
    name = (agent or {}).get("dialect")
    try:
        spoken = dialect.load(name) if isinstance(name, str) else None
    except UsageError:  # the file of a run that was made elsewhere
        spoken = None
    if spoken is None or spoken.boxed:
        return {}
    reason = rf"is 0 for every answer in the dialect {name}, whose prompt asks for no \boxed{{}}"
    return dict.fromkeys(NEED_A_BOX, reason)


def default_scorers(source: str) -> tuple[str, ...]:
    """Names of the official scorers of a task source (`Task.source`), the leading one first; HotpotQA's where it has
    none.

    LongMemEval's is a judge, who cannot be a default; `f1` leads there, as answers are sentences.
    """
    return _OFFICIAL.get(source, ("em", "f1"))


def _best(score: Callable[[str, str], float], text: str, golds: tuple[str, ...]) -> float:
    if not text or text.isspace():
        return 0.0
    return max([score(text, gold) for gold in golds])


def _exact(text: str, gold: str) -> float:
    return float(normalise(text) == normalise(gold))


def _closed_f1(text: str, gold: str) -> float:
    ours, theirs = normalise(text), normalise(gold)
    if ours != theirs and (ours in _CLOSED_ANSWERS or theirs in _CLOSED_ANSWERS):
        return 0.0
    return overlap_f1(ours.split(), theirs.split())


def _open_f1(text: str, gold: str) -> float:
    ours, theirs = normalise(text).split(), normalise(gold).split()
    return overlap_f1(ours, theirs) if ours or theirs else 1.0


def _contained(text: str, gold: str) -> float:
    ours, theirs = normalise(text), normalise(gold)
    return float(ours in theirs or theirs in ours) if ours and theirs else float(ours == theirs)


def _within(text: str, gold: str) -> float:
    ours, theirs = normalise(text), normalise(gold)
    return float(theirs in ours) if theirs else float(not ours)


def _stands_in(text: str, gold: str) -> float:
    return float(gold.lower() in text.lower())


def _mem1_equal(text: str, gold: str) -> float:
    return float(_mem1_words(text) == _mem1_words(gold))


def _mem1_words(text: str) -> list[str]:
    return text.lower().translate(_PUNCTUATION_TO_SPACE).split()


def _set_f1(text: str, gold: str) -> float:
    return overlap_f1(_stopless(text), _stopless(gold))


def _stopless(text: str) -> set[str]:
    return set(text.lower().translate(_STOPS_TO_SPACE).split())


def _last_boxed(text: str) -> str | None:
    r"""What the last \boxed holds; as at the source, the form "\boxed x$" goes first, wherever it stands."""
    _, spaced, rest = text.rpartition("\\boxed ")
    if spaced:
        return rest.split("$")[0]
    _, braced, rest = text.rpartition("\\boxed")
    if not braced or not rest.startswith("{"):
        return None
    depth = 0
    for at, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:at]
    return None


# The order matters: " ." becomes " 0." before the spaces go.
_LATEX = (
    ("\n", ""),
    ("\\!", ""),
    ("\\\\", "\\"),
    ("tfrac", "frac"),
    ("dfrac", "frac"),
    ("\\left", ""),
    ("\\right", ""),
    ("^{\\circ}", ""),
    ("^\\circ", ""),
    ("\\$", ""),
    ("\\%", ""),
    (" .", " 0."),
    ("{.", "{0."),
    (" ", ""),
)


def _strip_latex(text: str) -> str:
    """The `strip_string` of hendrycks-math in the cut that `boxed_em`'s source uses."""
    for old, new in _LATEX:
        text = text.replace(old, new)
    return text
