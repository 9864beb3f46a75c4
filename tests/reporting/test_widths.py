"""Pages of reports on screens of every width and on paper, with words, names and tables that are far too long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import report_runs
import training_runs

from atommem_cli.ablation import findings
from atommem_cli.core.files import read_json
from atommem_cli.data import files
from atommem_cli.reporting.report import report

WORD = "w" * 400
NAME = "n" * 180
SENTENCE = "who was told what by whom, and when, and why was it so " * 12
CUT = """() => {
  const flows = (e) => getComputedStyle(e).display.startsWith("inline") && e !== document.body;
  const style = (e) => getComputedStyle(e).overflowX;
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own.length || !e.checkVisibility() || e.closest("script, style, option, .skip, [aria-hidden]")) continue;
    let block = e;
    while (flows(block)) block = block.parentElement;
    if (["auto", "scroll"].includes(style(block))) continue;
    const box = block.getBoundingClientRect();
    for (const node of own) {
      const range = document.createRange();
      range.selectNodeContents(node);
      const leaves = (r) => r.width > 1 && (r.right > box.right + 8 || r.left < box.left - 8);
      const out = [...range.getClientRects()].some(leaves);
      const hidden = ["hidden", "clip"].includes(style(block)) && block.scrollWidth > block.clientWidth + 1;
      if (out || hidden) found.push(`${e.tagName}.${e.className}: ${node.textContent.trim().slice(0, 40)}`);
    }
  }
  return found;
}"""
"""Elements whose own text leaves the box that it stands in: it lies over its neighbour, or is cut (a space at the end
of a line may hang over)."""
BEYOND = """() => [...document.querySelectorAll("body *")].filter((e) => {
  if (!e.checkVisibility() || e.closest("script, style, option, .skip")) return false;
  for (let up = e.parentElement; up; up = up.parentElement) {
    if (["auto", "scroll"].includes(getComputedStyle(up).overflowX)) return false;
  }
  return e.getBoundingClientRect().right > innerWidth + 1;
}).map((e) => `${e.tagName}.${e.className}`)"""
"""Elements that lie beyond the page, and in no box that scrolls."""


def _run(folder: Path, out: Path, script: str) -> Path:
    made = report_runs.run(folder, out, script, *report_runs.PAPER)

    def fail(line: dict[str, Any]) -> None:
        line["error"] = f"the server said {WORD} {SENTENCE}"

    report_runs.rewrite(made / "episodes.jsonl", fail)
    return made


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of one run, of a comparison, of one training and of several."""
    home = tmp_path_factory.mktemp("wide")
    folder = report_runs.tasks(home, 2, people=2, relations=2)

    def lengthen(task: dict[str, Any]) -> None:
        for document in task["documents"]:
            document["text"] += f" {WORD}"
        for question in task["questions"]:
            question["text"] += f" {SENTENCE} {WORD}"
            question["answers"] = [WORD, *question["answers"]]
            for support in question["supporting"]:
                support["text"] = task["documents"][support["document"]]["text"]

    split = folder / "validation"
    report_runs.rewrite(split / "tasks.jsonl", lengthen)
    manifest = {**read_json(split / "manifest.json"), "sha256": files.sha256(split / "tasks.jsonl")}
    (split / "manifest.json").write_text(json.dumps(manifest))
    runs = [_run(folder, home / f"{script}-{NAME}", script) for script in ("sloppy", "append_only")]
    lines = [
        {"step": step, "kind": "train", "seconds": 1.0, "reward": 0.5, f"rewards/{WORD}/mean": 1} for step in (1, 2)
    ]
    trainings = [training_runs.folder(home / f"{number}-{NAME}", lines) for number in range(2)]
    for number, one in enumerate(trainings):
        identity = read_json(one / "run.json")
        identity["recipe"] = {f"{key}{WORD[:60]}": f"{number}{WORD}" for key in range(12)}
        identity["packages"] = dict.fromkeys(("numpy", WORD), "1.2.3")
        (one / "run.json").write_text(json.dumps(identity))
    report(runs[:1])
    report(runs, home / "comparison", beside=findings.beside(runs))
    report(trainings[:1])
    report(trainings, home / "trainings")
    folders = {"run": runs[0], "comparison": home / "comparison"}
    folders |= {"training": trainings[0], "trainings": home / "trainings"}
    return {name: folder / "report.html" for name, folder in folders.items()}


@pytest.mark.parametrize("page", ["run", "comparison", "training", "trainings"])
def test_on_every_width_nothing_is_cut_and_the_page_does_not_scroll_sideways(
    pages: dict[str, Path], opened: Any, page: str
) -> None:
    tab = opened(pages[page]).tab
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for width, media in ((1300, "screen"), (800, "screen"), (400, "screen"), (690, "print")):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.emulate_media(media=media)
        if media == "print" and page in ("run", "comparison"):
            tab.locator(".step").nth(1).wait_for()
        for key in ("Home", "End"):
            tab.keyboard.press(key)
            found = (tab.evaluate("document.documentElement.scrollWidth") <= width, *map(tab.evaluate, (CUT, BEYOND)))
            assert found == (True, [], []), (width, media)
