"""The report of evaluations: its numbers, what it embeds, hostile text in it, its size, and each error."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import report_runs
import training_runs

from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.safe_text import cut, visible
from atommem_cli.core.types import OpKind
from atommem_cli.data.files import read_manifest
from atommem_cli.explain import cause_counts, memory_quality, store_grades
from atommem_cli.explain.causes import Cause
from atommem_cli.explain.miss_causes import MISSED_BELOW
from atommem_cli.reporting import episodes, run_figures, run_statistics, run_tables, store_tables
from atommem_cli.reporting.episodes import Prose, choose, pack, script_json
from atommem_cli.reporting.report import report
from atommem_cli.reporting.run_page import Beside
from atommem_cli.runs import summary
from atommem_cli.runs.reader import Run
from atommem_cli.runs.tables import Table


class Page(HTMLParser):
    """Tags with their attributes, in order; the words outside script and style; the embedded data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.inline: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(self.source)
        assert not self._open
        self.data = json.loads(self.inline["data"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            self.inline[self.found[-1][1].get("id") or self._open[-1]] = data
        else:
            self.words += f" {' '.join(data.split())}"

    def text(self, ref: list[int]) -> str:
        return "".join(self.data["pieces"][number] for number in ref)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    tasks = report_runs.tasks(folder, 12)
    report_runs.run(tasks, folder / "sloppy", "sloppy")
    report_runs.run(tasks, folder / "append", "append_only")
    return folder


def copy(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to


# --- which episodes, and how they are packed


def test_missed_and_right_episodes_are_chosen_in_proportion_and_by_name_alone() -> None:
    missed = {f"t-{n}#0": n % 4 == 0 for n in range(200)}
    chosen = choose(missed, 40)
    assert len(chosen) == 40
    assert sum(missed[name] for name in chosen) == 10
    assert sum(missed[name] for name in chosen[:8]) == 2
    assert chosen == choose(dict(reversed(missed.items())), 40)
    assert sorted(chosen) != sorted(missed)[:40]
    assert choose(missed, 20) == chosen[:20]
    assert sorted(choose(missed, 500)) == sorted(missed)
    lonely = {f"t-{n}#0": n == 77 for n in range(200)}
    assert "t-77#0" in choose(lonely, 2)  # a kind that occurs is shown
    assert choose({}, 5) == []


def test_pieces_are_stored_once_and_long_texts_are_cut_with_a_note() -> None:
    steps = [{"prompt": [["user", Prose("system\nsame <b\nchunk")]], "reply": Prose("<create>same </create>")}]
    packed, left_out = pack([[{"name": f"t-{n}", "steps": steps} for n in (3, 1, 2)]])
    assert left_out == []
    assert [one["name"] for one in packed["episodes"]] == ["t-1", "t-2", "t-3"]
    pieces = ["system", "\n", "same ", "<", "b", "chunk", "<create>", "</create>"]
    assert packed["pieces"] == pieces
    for one in packed["episodes"]:
        assert one["steps"] == [{"prompt": [["user", [0, 1, 2, 3, 4, 1, 5]]], "reply": [6, 2, 7]}]
    packed, _ = pack([[{"name": "t", "steps": [], "text": Prose("x" * 25_000)}]])
    assert packed["pieces"][0] == "x" * 20_000 + " … [5,000 more characters are left out here]"
    assert cut("abc", 3) == "abc"


def test_what_does_not_fit_is_left_out_prompts_first_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "ROOM", 2_000)  # 100,000 for the 50 that are always granted

    def case(name: str, **texts: Any) -> Any:
        return {"name": name, "steps": [{"reply": Prose("r"), **texts}]}

    prompts = [case(f"t-{n}", prompt=[["user", Prose("p" * 19_000 + str(n))]]) for n in range(6)]
    packed, left_out = pack([prompts])
    assert left_out == ["the exact prompts"]
    assert [one["steps"] for one in packed["episodes"]] == [[{"reply": [0]}]] * 6
    chunks = [case(f"t-{n}", shown=Prose(str(n) * 19_000)) for n in range(8)]
    packed, left_out = pack([chunks[::-1]])
    assert left_out == ["3 more episodes"]
    assert [one["name"] for one in packed["episodes"]] == [f"t-{n}" for n in range(3, 8)]  # the best ones stay
    packed, left_out = pack([[case("t", shown=[Prose(str(n) * 9_000) for n in range(30)])]])
    assert left_out == ["all but the first 2,500 characters of each text"]
    assert len(script_json(packed).encode()) <= 100_000


def test_embedded_json_cannot_leave_its_element_and_comes_back_whole() -> None:
    hostile = {"a": "</script><!--<script>&amp;\u2028", "<b>": ["é"]}
    text = script_json(hostile)
    assert not set("<>&") & set(text)
    assert json.loads(text) == hostile


def test_what_cannot_be_seen_is_spelled_out() -> None:
    assert visible("a\x00\x1b[1m\u202eb\ud800\u200b\ufeff\x7f\r\nc\rd\te") == (
        "a<U+0000><U+001B>[1m<U+202E>b<U+D800><U+200B><U+FEFF><U+007F>\nc<U+000D>d\te"
    )
    assert visible("Grüße 東京 שלום 👍🏽 x²") == "Grüße 東京 שלום 👍🏽 x²"


def test_the_page_names_no_kind_of_operation() -> None:
    programs = Path(episodes.__file__).parent.joinpath("templates").glob("*.js")
    quoted = [word for path in programs for word in re.findall(r"""["'`](\w+)["'`]""", path.read_text())]
    assert "answered" in quoted
    assert not set(quoted) & set(OpKind)


def test_every_kind_of_operation_has_a_letter_of_its_own() -> None:
    letters = episodes.marks()
    assert letters.keys() == set(OpKind)
    assert len(set(letters.values())) == len(letters)
    assert [letters[kind] for kind in ("create", "read", "update", "delete", "scratchpad")] == [*"CRUDS"]


# --- numbers


def test_a_survey_counts_every_episode_whatever_is_shown(home: Path) -> None:
    run = Run(home / "sloppy")
    taken = run_statistics.take(run, "sloppy", 3)
    lines = [json.loads(line) for line in (home / "sloppy" / "steps.jsonl").read_text().splitlines()]
    ops = [op for line in lines for op in line["ops"]]
    assert (len(taken.plays), len(taken.cases), taken.gaps) == (12, 3, [])
    assert taken.operations.total() == taken.tenths.total() == len(ops)
    created = sum(count for (_, kind, ok), count in taken.operations.items() if kind == OpKind.CREATE and ok)
    assert created == sum(op["kind"] == "create" and op["outcome"] == "ok" for op in ops)
    first = [line["entries"] for line in lines if line["step"] == 0]
    assert sorted(taken.entries[0].elements()) == sorted(first)
    assert taken.causes["all"].questions == 12
    assert taken.causes["all"].missed == sum(play.scores[0] < 1 for play in taken.plays) > 0
    assert taken.plays[0].documents == len(run.task(taken.plays[0].task).documents)


@pytest.mark.usefixtures("bare")
def test_a_scorer_is_spelled_in_headings_as_everywhere(home: Path, tmp_path: Path) -> None:
    report([home / "sloppy"], tmp_path / "page")
    words = Page(tmp_path / "page" / "report.html").words
    assert " em by kind of question" in words
    assert "Em by" not in words


@pytest.mark.usefixtures("bare")
def test_the_page_holds_the_runs_own_words_and_the_exact_prompts(home: Path, tmp_path: Path) -> None:
    done = report([home / "append"], tmp_path)
    page = Page(tmp_path / "report.html")
    run = Run(home / "append")
    assert [one["name"] for one in page.data["episodes"]] == sorted(run.episodes)
    for one in page.data["episodes"]:
        steps = run.steps(one["name"])
        task = run.task(run.episodes[one["name"]]["task"])
        assert [page.text(step["reply"]) for step in one["steps"]] == [step["reply"] for step in steps]
        assert [page.text(chunk) for chunk in one["chunks"]] == [chunk.text for chunk in run.chunks(task)]
        assert [page.text(q["text"]) for q in one["questions"]] == [question.text for question in task.questions]
        assert [[page.text(gold) for gold in q["gold"]] for q in one["questions"]] == [list(task.questions[0].answers)]
        reading = page.text(one["steps"][0]["prompt"][-1][1])
        assert run.chunks(task)[0].text in reading
        for question in one["questions"]:
            assert (question["scores"][0] < 1) == bool(question["cause"])
            assert [page.text(fact["text"]) for fact in question["facts"]] == [
                s.text for s in task.questions[0].supporting
            ]
            assert all(fact["shown"] is not None for fact in question["facts"])
    manifest = read_manifest(run.folder)
    for told in ("The data", "stream, validation", "Apache-2.0", "its generator", manifest.sha256[:16]):
        assert told in page.words
    assert "all 12 episodes." in page.words
    em = done.results[0]["scores"]["em"]
    assert f"{100 * em['mean']:.1f} %" in page.words
    assert done.table.rows[0][0] == "atommem"
    assert "Why questions were missed" in page.words
    assert "Hygiene" in page.words


def test_figures_lie_beside_the_page_and_the_same_run_gives_the_same_bytes(home: Path, tmp_path: Path) -> None:
    folder = copy(home / "sloppy", tmp_path / "run")
    done = report([folder], pdf=True)
    names = [path.name for path in done.paths]
    assert names[-1] == "report.html"
    figures = {"missed", "operations", "store", "documents", "cost"}
    assert set(names[:-1]) == {f"{name}.{form}" for name in figures for form in ("png", "pdf")}
    assert all(path.parent == folder for path in done.paths)
    before = {path: path.read_bytes() for path in done.paths}
    report([folder, folder / ".." / "run"], pdf=True)
    assert {path: path.read_bytes() for path in done.paths} == before
    images = [attributes["src"] or "" for tag, attributes in Page(folder / "report.html").found if tag == "img"]
    assert len(images) == 10
    for source in images:
        svg = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()
        assert svg.startswith("<?xml")
        assert "<script" not in svg


def test_a_figure_without_content_is_left_out(tmp_path: Path) -> None:
    folder = report_runs.tasks(tmp_path, 3, docs=4, people=2, relations=2, questions=1)
    mute = report_runs.run(folder, tmp_path / "mute", "mute", "chunk.by=documents", "chunk.tokens=999")
    names = [path.name for path in report([mute]).paths]
    assert names == ["missed.png", "cost.png", "report.html"]  # all of one size, and nothing was written
    oracle = report_runs.run(folder, tmp_path / "closed", "oracle", "agent.name=full_context")
    assert "missed.png" not in [path.name for path in report([oracle]).paths]


@pytest.mark.usefixtures("bare")
def test_several_runs_stand_side_by_side(home: Path, tmp_path: Path) -> None:
    folders = [home / "sloppy", home / "append"]
    with pytest.raises(UsageError, match="say with --out"):
        report(folders)
    from matplotlib.figure import Figure

    extra = Table("Paired differences", ("pair", "difference"), (("a - b", "+1.0 [-2.0, +3.0]"), ("a - c", "< 0.0001")))
    both = {run.name: store_grades.grades(run) for run in map(Run, folders)}
    figures = {"differences": lambda theme: Figure(), "curve-k": lambda theme: None, "curve-seed": lambda _: Figure()}
    together = Beside([extra, *store_tables.tables(both)], figures)
    done = report(folders, tmp_path, episodes=4, beside=together)
    assert [row[0] for row in done.table.rows] == ["sloppy", "append"]
    (kinds,) = run_tables.by_kind(["sloppy", "append"], done.results)
    assert kinds.headers == ("kind", "sloppy", "append", "n")
    for kind, *scores, n in kinds.rows:
        cells = [result["by_kind"][kind] for result in done.results]
        assert n == str(cells[0]["n"])
        assert [score.split()[0] for score in scores] == [f"{100 * cell['mean']:.1f}" for cell in cells]
    page = Page(tmp_path / "report.html")
    assert [run["label"] for run in page.data["runs"]] == ["sloppy", "append"]
    assert [one["run"] for one in page.data["episodes"]] == [0] * 4 + [1] * 4
    assert "sloppy: 4 of 12 episodes, missed and right ones in proportion" in page.words
    assert "Keys in which the recipes differ" in page.words
    assert "Paired differences" in page.words
    html = (tmp_path / "report.html").read_text()
    for number in ("+1.0 [-2.0, +3.0]", "&lt; 0.0001"):
        assert f'<td class="number">{number}</td>' in html
    for title in ("Memory quality: coverage", "Operations per episode", "The data"):
        assert page.words.count(title) == 1, "once, whoever has it"
    assert "policy.script" in page.words
    assert "Differences to the first run" in page.words
    assert "Score against seed" in page.words
    assert "Score against k" not in page.words, "nothing to draw"
    assert not (tmp_path / "differences.png").exists()
    assert "Made with run commit versions all 2 " in " ".join(page.words.split())


@pytest.mark.usefixtures("bare")
def test_repeats_and_several_questions_are_all_there(tmp_path: Path) -> None:
    folder = report_runs.tasks(tmp_path, 3, questions=3)
    out = report_runs.run(folder, tmp_path / "run", "append_only", "eval.repeats=2")
    report([out])
    page = Page(out / "report.html")
    assert [one["name"][-2:] for one in page.data["episodes"]] == ["#0", "#1"] * 3
    assert {len(one["questions"]) for one in page.data["episodes"]} == {3}
    asked = [step["question"] for step in page.data["episodes"][0]["steps"] if step["question"] is not None]
    assert sorted(set(asked)) == [0, 1, 2]


# --- what is not there


@pytest.mark.usefixtures("bare")
def test_an_unfinished_run_with_half_a_line_is_drawn_and_marked(home: Path, tmp_path: Path) -> None:
    folder = copy(home / "append", tmp_path / "cut")
    lines = (folder / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "episodes.jsonl").write_bytes(b"".join(lines[:7]) + lines[7][:17])
    finished = {json.loads(line)["episode"] for line in lines[:7]}
    steps = (folder / "steps.jsonl").read_bytes().splitlines(keepends=True)
    whole = [line for line in steps if json.loads(line)["episode"] in finished]
    (folder / "steps.jsonl").write_bytes(b"".join(whole) + steps[0][:17])
    (folder / "summary.json").unlink()
    before = (folder / "steps.jsonl").read_bytes()
    done = report([folder])
    page = Page(folder / "report.html")
    assert "cut: unfinished: 7 of 12 episodes" in page.words
    assert len(page.data["episodes"]) == 7
    assert done.results[0]["evaluated"] == 7
    assert (folder / "steps.jsonl").read_bytes() == before


def test_a_run_that_was_never_judged_is_scored_by_the_others(home: Path, tmp_path: Path) -> None:
    folder = copy(home / "append", tmp_path / "judged")
    identity = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**identity, "scorers": ["judge", "em", "f1"]}))
    run = Run(folder)
    taken = run_statistics.take(run, "judged")
    assert taken.scorers == ("em", "f1")
    assert list(summary.summarize(run.path, taken.questions, taken.scorers)["scores"]) == ["em", "f1"]
    verdicts = [{"episode": name, "steps": line["steps"], "correct": [1.0]} for name, line in run.episodes.items()]
    (folder / "verdicts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in verdicts))
    taken = run_statistics.take(Run(folder), "judged")
    assert taken.scorers == ("judge", "em", "f1")
    assert {play.scores for play in taken.plays} == {(1.0,)}


def test_every_cause_is_drawn_however_many_there_are(home: Path) -> None:
    taken = run_statistics.take(Run(home / "append"), "append", 1)
    taken.causes = {"all": cause_counts.Tally(2 * len(Cause), len(Cause), dict.fromkeys(Cause, 1))}
    drawn = run_figures.missed([taken])
    assert drawn is not None
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == list(Cause)
    looks = [(bar.get_facecolor(), bar.get_hatch()) for bar in drawn.axes[0].patches]
    assert len(set(looks)) == len(Cause)


def test_a_question_is_missed_by_one_rule_everywhere(home: Path, tmp_path: Path) -> None:
    """Of a score with values between 0 and 1, too: half right is right."""
    folder = copy(home / "append", tmp_path / "partly")
    identity = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**identity, "scorers": ["f1", "em"]}))
    given = [0.0, 0.49, 0.5, 0.7, 1.0]
    lines = list(map(json.loads, (folder / "episodes.jsonl").read_text().splitlines()))
    for number, line in enumerate(lines):
        line["scores"]["f1"] = [given[number % len(given)]]
    (folder / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    taken = run_statistics.take(Run(folder), "partly", 3)
    shown = run_statistics.take(Run(folder), "partly").cases
    wrong = sum(line["scores"]["f1"][0] < 0.5 for line in lines)
    assert 0 < wrong < 12
    assert taken.causes["all"].missed == wrong
    assert [one["questions"][0]["missed"] for one in taken.cases] in ([True, False, False], [False, True, False])
    for one in shown:
        (question,) = one["questions"]
        assert question["missed"] == (question["scores"][0] < MISSED_BELOW) == bool(question["cause"])
    assert sum(one["questions"][0]["missed"] for one in shown) == wrong


def test_a_survey_knows_hygiene_from_the_same_pass(home: Path) -> None:
    run = Run(home / "sloppy")
    assert run_statistics.take(run, "sloppy", 1).hygiene == memory_quality.inspect(run)
    assert run_statistics.take(run, "sloppy", 1).causes["all"] == cause_counts.summarize(run)["all"]


@pytest.mark.usefixtures("bare")
def test_without_its_tasks_a_run_shows_its_journal_and_says_so(tmp_path: Path) -> None:
    folder = report_runs.tasks(tmp_path, 3)
    out = report_runs.run(folder, tmp_path / "run", "append_only")
    split = folder / "validation"
    shutil.move(split, tmp_path / "away")
    report([out])
    page = Page(out / "report.html")
    assert "Questions, gold answers, causes and hygiene cannot be shown: " in page.words
    assert page.data["episodes"][0]["chunks"] is None
    assert page.data["episodes"][0]["steps"][0]["ops"]
    report_runs.tasks(tmp_path, 2)
    report([out])
    assert "was played on other tasks than those in" in Page(out / "report.html").words


@pytest.mark.usefixtures("bare")
def test_prompts_that_come_out_differently_are_not_shown_and_the_reason_is(tmp_path: Path) -> None:
    out = report_runs.run(report_runs.tasks(tmp_path, 2), tmp_path / "run", "append_only")
    report_runs.rewrite(out / "steps.jsonl", lambda line: line.update(prompt="0" * 16))
    report([out])
    page = Page(out / "report.html")
    assert "The exact prompts cannot be rebuilt: " in page.words
    assert not any("prompt" in step for one in page.data["episodes"] for step in one["steps"])
    assert page.data["episodes"][0]["chunks"]


@pytest.mark.usefixtures("bare")
def test_failed_episodes_are_counted_and_shown_without_prompts(home: Path, tmp_path: Path) -> None:
    folder = copy(home / "append", tmp_path / "failed")
    lines = (folder / "episodes.jsonl").read_text().splitlines()
    failed = {
        **json.loads(lines[0]),
        "stop": "error",
        "error": "the server <b>said</b> no",
        "scores": {"em": [0.0], "f1": [0.0]},
    }
    (folder / "episodes.jsonl").write_text("\n".join([json.dumps(failed), *lines[1:]]) + "\n")
    report([folder])
    page = Page(folder / "report.html")
    (shown,) = [one for one in page.data["episodes"] if one["stop"] == "error"]
    assert page.text(shown["error"]) == "the server <b>said</b> no"
    assert "prompt" not in shown["steps"][0]
    assert "Failed episodes" in page.words
    assert "the server <b>said</b> no" in page.words


# --- hostile text, size


def test_hostile_text_stays_text_and_50_episodes_stay_small(tmp_path: Path) -> None:
    out = report_runs.hostile(tmp_path)
    report([out])
    page = Page(out / "report.html")
    tags = [tag for tag, _ in page.found]
    assert tags.count("script") == 2
    assert {"iframe", "object", "link", "base", "svg", "b"}.isdisjoint(tags)
    assert all(not name.startswith("on") for _, attributes in page.found for name in attributes)
    assert all((a["src"] or "").startswith("data:image/svg+xml;base64,") for tag, a in page.found if tag == "img")
    assert not re.search("[\x00\x1b\u202e\u2066\ud800-\udfff]", page.source)
    assert "<U+202E>" in page.inline["data"].replace("\\u003c", "<").replace("\\u003e", ">")
    first = page.data["episodes"][0]
    assert page.text(first["questions"][0]["answer"]).endswith("&lt;b&gt; <U+D800>")
    assert "more characters are left out here]" in page.text(first["steps"][0]["reply"])
    assert len(page.source) < 1_000_000


def test_a_hostile_name_of_a_folder_is_drawn_and_listed(home: Path, tmp_path: Path) -> None:
    names = [b"_$x^2$<script>\xff\x1b".decode("utf-8", "surrogateescape"), "_b" * 60]
    done = report([copy(home / "append", tmp_path / name) for name in names], tmp_path / "out")
    page = Page(done.paths[-1])
    assert [run["label"] for run in page.data["runs"]] == ["_$x^2$<script><U+DCFF><U+001B>", "_b" * 60]
    assert [tag for tag, _ in page.found].count("script") == 2


@pytest.mark.usefixtures("bare")
def test_the_page_allows_its_own_style_and_script_alone(home: Path, tmp_path: Path) -> None:
    report([home / "append"], tmp_path)
    page = Page(tmp_path / "report.html")
    (policy,) = [a["content"] or "" for tag, a in page.found if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for rule, tag in (("script-src", "script"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(page.inline[tag].encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "http"):
        assert forbidden not in page.inline["script"]


def test_fifty_long_episodes_stay_under_two_megabytes(tmp_path: Path) -> None:
    folder = report_runs.tasks(tmp_path, 60, docs=60, people=6, questions=3)
    out = report_runs.run(folder, tmp_path / "run", "append_only", *report_runs.PAPER)
    report([out])
    page = Page(out / "report.html")
    assert len(page.data["episodes"]) == 50
    assert (out / "report.html").stat().st_size < 2_000_000


# --- errors


def sentence(*folders: Path, out: Path | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        report(folders, out)
    return str(caught.value)


def test_each_error_is_one_sentence(home: Path, tmp_path: Path) -> None:
    good, training = home / "append", training_runs.grpo(tmp_path / "grpo", steps=3)
    assert sentence(training, good, out=tmp_path) == (
        f"{good} is an evaluation and {training} a run of grpo: report them apart"
    )
    missing = tmp_path / "none"
    assert sentence(good, missing, out=tmp_path) == f"{missing}: no such folder"
    missing.mkdir()
    assert sentence(good, missing, out=tmp_path) == f"{missing}: neither a run of eval, nor a training, nor an ablation"
    empty = copy(good, tmp_path / "empty")
    (empty / "episodes.jsonl").write_text("")
    assert sentence(empty) == f"{empty}: has no scored episode yet: its own command goes on where it stopped"
    bare = copy(good, tmp_path / "bare")
    (bare / "sessions.jsonl").unlink()
    assert sentence(bare).startswith(f"{bare}/sessions.jsonl: not there")


@pytest.mark.parametrize("name", ["episodes.jsonl", "steps.jsonl", "sessions.jsonl"])
def test_a_damaged_line_is_named(home: Path, tmp_path: Path, name: str) -> None:
    folder = copy(home / "append", tmp_path / "run")
    lines = (folder / name).read_text().splitlines()
    (folder / name).write_text("\n".join([lines[0], lines[1][:9], *lines[1:]]) + "\n")
    with pytest.raises(SourceError, match=re.escape(f"{folder / name}: line 2 is damaged")):
        report([folder])
