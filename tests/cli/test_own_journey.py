"""From documents and questions of one's own to a page in two commands; what is not known of them is not said."""

from __future__ import annotations

import csv
from pathlib import Path

from commands import atommem

from atommem_cli.explain.causes import Cause

PAGES = {"Leave": "Everybody has 25 days of leave.", "Offices": "The office is in Tartu.", "Mugs": "There are 9 mugs."}
ASKED = {"How many days of leave?": "25", "Where is the office?": "Tartu", "Is it paid?": "yes"}


def test_a_folder_of_two_tables_becomes_a_page_and_misses_have_no_invented_cause(tmp_path: Path) -> None:
    wiki = tmp_path / "wiki"
    wiki.mkdir()
    for name, head, rows in (("documents", ("title", "text"), PAGES), ("questions", ("question", "answer"), ASKED)):
        with (wiki / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, *rows.items()])
    prepare = ("prepare", "records", "--source", "wiki", "--set", "licence=ours", "--out")
    said = atommem(*prepare, "data/wiki", cwd=tmp_path).stderr
    assert "one task with 3 questions, and intervals are those of tasks: --questions 1 makes a task of each" in said
    assert "intervals" not in atommem(*prepare, "data/each", "--questions", "1", cwd=tmp_path).stderr
    changes = ["task.folder=data/wiki", "agent={name: rag, dialect: paper}", "store={name: exact}", "limits.answer=60"]
    sets = [word for change in changes for word in ("--set", change)]
    atommem("eval", "--policy", "scripted:append_only", *sets, "--report", "--out", "run", cwd=tmp_path)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert Cause.UNTOLD.value in page
    assert "Is it paid?" in page
    shown = atommem("why", "run", cwd=tmp_path).stdout
    header, row = (line.split("|") for line in shown.splitlines() if line.startswith(("|  | questions", "| all")))
    causes = {name.strip(): cell.strip() for name, cell in zip(header, row, strict=True)}
    assert (causes["questions"], causes["missed"]) == ("3", "1")
    assert {name for name, cell in causes.items() if cell.startswith("1")} == {"missed", Cause.UNTOLD.value}
