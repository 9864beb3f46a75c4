"""How replies came is counted, and said where they are too many to trust a score."""

from __future__ import annotations

from typing import Any

import pytest

from atommem_cli.core.calls import Expects, Finish
from atommem_cli.core.thoughts import MARKS
from atommem_cli.runs import replies


def line(reply: str, finish: Finish = Finish.STOP, expects: Expects = Expects.ANSWER) -> dict[str, Any]:
    return {"reply": reply, "finish": finish, "expects": expects}


def test_replies_are_counted_by_how_they_came() -> None:
    steps = [
        line("Paris"),
        line("hm</think>Paris"),
        line("<think>hm", Finish.LENGTH),
        line("", Finish.LENGTH, Expects.NOTES),
        line("", expects=Expects.OPERATIONS),
        line("", Finish.ERROR),
        line("", Finish.FILTERED),
        line("", Finish.OVERFLOW),
    ]
    counts = replies.tally(steps, MARKS)
    assert counts == {"all": 5, "thought": 2, "cut": 2, "empty": 3, "other": 0, "wanted": 4, "missing": 2}
    assert replies.told(counts) == "2 with a thought, 2 cut at their limit, 3 empty of 5"
    assert replies.told(replies.tally([line("x")], MARKS)) == replies.told({}) == ""


@pytest.mark.parametrize(("cut", "said"), [(0, False), (9, False), (10, True), (100, True)])
def test_many_cut_replies_are_a_warning(cut: int, said: bool) -> None:
    steps = [line("x", Finish.LENGTH)] * cut + [line("x")] * (100 - cut)
    warnings = replies.warnings({"replies": replies.tally(steps, MARKS)})
    assert warnings == (
        [
            f"{cut} of 100 replies were cut at their limit (empty: 0): give them room with limits.reply and"
            " limits.answer, or turn thinking off"
        ]
        if said
        else []
    )


def test_silence_is_a_warning_where_words_were_wanted() -> None:
    reading = [line("", expects=Expects.OPERATIONS)] * 9
    assert replies.warnings({"replies": replies.tally([*reading, line("x")], MARKS)}) == []
    (warning,) = replies.warnings({"replies": replies.tally([*reading, line("x"), line("<think>a</think>")], MARKS)})
    assert warning == "1 of 2 replies that should be answers or notes say nothing"


def test_the_judge_is_counted_and_old_summaries_have_nothing_to_say() -> None:
    (warning,) = replies.warnings({"judge_replies": {"all": 4, "thought": 4, "cut": 1, "empty": 0}})
    assert "1 replies of the judge, for 4 verdicts" in warning
    assert replies.warnings({}) == []
    assert replies.warnings({"never": {"boxed_em": "is 0"}}) == ["boxed_em is 0"]
