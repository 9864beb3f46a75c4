"""The page of a report in a real browser: what scrubbing, searching, linking, printing and hostile text do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import report_runs

from atommem_cli.reporting.report import report
from atommem_cli.runs.reader import Run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of `sloppy` with its page, and one page of two runs."""
    folder = tmp_path_factory.mktemp("home")
    tasks = report_runs.tasks(folder, 14)
    report_runs.run(tasks, folder / "sloppy", "sloppy")
    report_runs.run(tasks, folder / "random", "random")
    report([folder / "sloppy"])
    report([folder / "sloppy", folder / "random"], folder / "both")
    return folder


def journal(home: Path, name: str = "sloppy") -> tuple[str, list[dict[str, Any]]]:
    """The first episode of the page, and its steps."""
    run = Run(home / name)
    first = min(run.episodes)
    return first, run.steps(first)


# --- the time machine


def test_scrubbing_shows_each_step_as_the_journal_has_it(home: Path, opened: Any) -> None:
    page = opened(home / "sloppy" / "report.html")
    name, steps = journal(home)
    assert page.text("#name") == name
    slider = page.tab.locator("#slider")
    assert slider.get_attribute("max") == str(len(steps) - 1)
    for index, step in enumerate(steps):
        slider.fill(str(index))
        assert page.text(".step > h3").startswith(f"Step {index} · ")
        if step["reply"]:
            assert page.text(".reply") == step["reply"]
        assert page.tab.locator(".panes > div:nth-child(2) h4", has_text="Operations").inner_text().upper() == (
            f"OPERATIONS ({len(step['ops'])})"
        )
        assert f"STORE AFTER THE STEP ({step['entries']})" in page.text("#steps").upper()
        assert f"MEMORIES SHOWN ({len(step['shown'])})" in page.text("#steps").upper()
        for _, text in step["shown"]:
            assert text in page.text(".panes > div:nth-child(1)")


def test_the_page_comes_to_the_memory_of_the_journal_by_what_each_step_changed(home: Path, opened: Any) -> None:
    run = Run(home / "random")
    page = opened(home / "both" / "report.html")
    effective = Counter()
    for name in sorted(run.episodes)[:6]:
        expected, entries, texts = [], {}, {"scratchpad": "", "read": ""}
        for step in run.steps(name):
            for op in (op for op in step["ops"] if op["outcome"] == "ok"):
                effective[op["kind"]] += 1
                if op["kind"] in texts:
                    texts[op["kind"]] = op["text"].strip()
                elif op["kind"] == "delete":
                    del entries[op["entry"]]
                else:
                    entries[op["entry"]] = op["text"].strip()
            expected.append([[[*pair] for pair in entries.items()], texts["scratchpad"], texts["read"]])
        page.tab.goto(page.tab.url.split("#")[0] + f"#{name.replace('#', '%23')}/0/1")
        assert (page.text("#name"), page.text("#about .chip >> nth=0")) == (name, "random")
        states = "current.ledger.map(({ after }) => [[...after.entries], after.scratchpad, after.query])"
        assert page.tab.evaluate(states) == expected
    assert set(effective) == {"create", "read", "update", "delete", "scratchpad"}


def test_the_scratchpad_is_shown_against_what_it_replaced(home: Path, opened: Any) -> None:
    run = Run(home / "random")
    rewritten = (
        (name, step["step"], before, op["text"].strip())
        for name in run.episodes
        for before, step, op in _scratchpads(run.steps(name))
        if before
    )
    name, number, before, after = next(rewritten)
    page = opened(home / "both" / "report.html", f"#{name.replace('#', '%23')}/{number}/1")
    row = page.tab.locator(".panes > div:nth-child(2) li", has_text="scratchpad").locator(".t").first
    without = "(row, tag) => [...row.childNodes].filter((n) => n.nodeName !== tag).map((n) => n.textContent).join('')"
    assert (row.evaluate(without, "INS"), row.evaluate(without, "DEL")) == (before, after)


def _scratchpads(steps: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Of the first operation of a step that set the scratchpad: what was there, step and operation."""
    before = ""
    for step in steps:
        done = [op for op in step["ops"] if (op["kind"], op["outcome"]) == ("scratchpad", "ok")]
        if done:
            yield before, step, done[0]
            before = done[-1]["text"].strip()


def test_the_keys_buttons_and_marks_move_through_steps_and_the_address_follows(home: Path, opened: Any) -> None:
    page = opened(home / "sloppy" / "report.html")
    _, steps = journal(home)
    tab = page.tab
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert page.text(".step > h3").startswith("Step 2 · ")
    assert tab.url.endswith("%230/2")
    tab.keyboard.press("ArrowLeft")
    assert page.text(".step > h3").startswith("Step 1 · ")
    tab.keyboard.press("End")
    assert page.text(".step > h3").startswith(f"Step {len(steps) - 1} · answers question 1 of 1")
    assert tab.locator("#forward").is_disabled()
    tab.keyboard.press("ArrowRight")
    assert tab.url.endswith(f"%230/{len(steps) - 1}")
    tab.locator("#back").click()
    assert tab.url.endswith(f"%230/{len(steps) - 2}")
    tab.locator("#strip span").nth(1).click()
    assert tab.url.endswith("%230/1")
    tab.keyboard.press("Home")
    assert tab.locator("#first").is_disabled()
    tab.keyboard.press("j")
    assert page.text("#name") == page.names()[1]
    tab.keyboard.press("k")
    assert page.text("#name") == page.names()[0]
    tab.keyboard.press("/")
    tab.keyboard.type("jk")
    assert tab.locator("#search").input_value() == "jk"


@pytest.mark.usefixtures("bare")
def test_what_a_step_changed_is_marked_word_by_word(home: Path, tmp_path: Path, opened: Any) -> None:
    run = Run(report_runs.run(home / "data" / "stream", tmp_path / "oracle", "oracle"))
    report([run.path])
    changed = next(
        (name, step, op)
        for name in sorted(run.episodes)
        for step in run.steps(name)
        for op in step["ops"]
        if op["kind"] == "update" and op["outcome"] == "ok"
    )
    name, step, op = changed
    page = opened(run.path / "report.html", f"#{name.replace('#', '%23')}/{step['step']}")
    old = dict(step["shown"])[op["entry"]]
    without = "(row, tag) => [...row.childNodes].filter((n) => n.nodeName !== tag).map((n) => n.textContent).join('')"
    row = page.tab.locator(".changed .t").first
    assert row.evaluate(without, "INS") == old != op["text"].strip() == row.evaluate(without, "DEL")
    assert row.locator("del").count() > 0
    created = next((s, o) for s in run.steps(name) for o in s["ops"] if o["kind"] == "create" and o["outcome"] == "ok")
    page.tab.goto(page.tab.url.split("#")[0] + f"#{name.replace('#', '%23')}/{created[0]['step']}")
    assert created[1]["text"].strip() in page.tab.locator(".added").all_inner_texts()[0]


def test_lamps_light_up_when_a_fact_is_covered(home: Path, opened: Any) -> None:
    page = opened(home / "sloppy" / "report.html")
    data = json.loads(page.tab.locator("#data").text_content())
    one = next(e for e in data["episodes"] if e["questions"][0]["facts"][0]["written"])
    fact = one["questions"][0]["facts"][0]
    page.tab.goto(page.tab.url + f"#{one['name'].replace('#', '%23')}/0")
    lamp = page.tab.locator(".facts li").first.locator(".lamp.written")
    assert lamp.inner_text() == f"written at step {fact['written']}"
    slider = page.tab.locator("#slider")
    slider.fill(str(fact["written"] - 1))
    assert "lit" not in (lamp.get_attribute("class") or "")
    slider.fill(str(fact["written"]))
    assert "lit" in (lamp.get_attribute("class") or "")
    slider.fill("0")
    lamp.click()
    assert page.text(".step > h3").startswith(f"Step {fact['written']} · ")


def test_the_exact_prompt_is_folded_and_whole(home: Path, opened: Any) -> None:
    page = opened(home / "sloppy" / "report.html")
    assert not page.tab.locator(".prompt pre").first.is_visible()
    page.tab.locator(".prompt summary").click()
    run = Run(home / "sloppy")
    name, _ = journal(home)
    chunk = run.chunks(run.task(run.episodes[name]["task"]))[0]
    assert chunk.text in page.tab.locator(".prompt pre").last.inner_text()


# --- finding


def test_search_reaches_every_text_and_leads_to_the_step(home: Path, opened: Any) -> None:
    page = opened(home / "sloppy" / "report.html")
    run = Run(home / "sloppy")
    name = sorted(run.episodes)[5]
    steps = run.steps(name)
    chunk = run.chunks(run.task(run.episodes[name]["task"]))[2].text.split("\n")[0]
    wanted = {
        "question": run.task(run.episodes[name]["task"]).questions[0].text,
        "chunk": chunk,
        "reply": next(step["reply"] for step in steps if step["ops"] and "\n" not in step["reply"]),
        "entry": next(op["text"] for step in steps for op in step["ops"] if op["kind"] == "create").strip(),
        "name": name,
    }
    for words in wanted.values():
        page.tab.locator("#search").fill(words.upper())
        assert name in page.names(), words
        assert page.text("#count") == f"{len(page.names())} of 14 episodes"
    page.tab.locator("#search").fill(chunk)
    page.tab.locator("#list a", has_text=name).click()
    assert page.tab.locator("mark").all_inner_texts()[0].lower() == chunk.lower()
    assert chunk.lower() in page.text(".panes .box >> nth=0").lower()
    page.tab.locator("#search").fill("no such words anywhere")
    assert page.text("#count") == "0 of 14 episodes"
    assert page.names() == []
    page.tab.locator("#search").fill("")
    assert len(page.names()) == 14


def test_each_filter_leaves_what_it_names(home: Path, opened: Any) -> None:
    page = opened(home / "both" / "report.html")
    data = json.loads(page.tab.locator("#data").text_content())
    everything = data["episodes"]

    def chosen(name: str, value: str) -> int:
        page.tab.locator(f"#{name}").select_option(value)
        left = len(page.names())
        assert page.text("#count") == f"{left} of {len(everything)} episodes"
        page.tab.locator(f"#{name}").select_option("")
        return left

    assert len(page.names()) == len(everything) == 28
    assert chosen("run", "1") == 14
    missed = [e for e in everything if any(q["scores"][0] < 1 for q in e["questions"])]
    assert chosen("result", "missed") == len(missed)
    assert chosen("result", "right") == 28 - len(missed)
    for name, of in (
        ("cause", lambda e: {q["cause"] for q in e["questions"]} - {""}),
        ("label", lambda e: {label for q in e["questions"] for label in q["labels"]}),
        ("kind", lambda e: {op["kind"] for step in e["steps"] for op in step["ops"]}),
        ("outcome", lambda e: {op["outcome"] for step in e["steps"] for op in step["ops"]}),
    ):
        values = {value for e in everything for value in of(e)}
        assert len(values) > 1, name
        for value in values:
            assert chosen(name, value) == sum(value in of(e) for e in everything), (name, value)
    page.tab.locator("#kind").select_option("delete")
    page.tab.locator("#outcome").select_option("ok")
    both = [
        e
        for e in everything
        if any(o["kind"] == "delete" and o["outcome"] == "ok" for s in e["steps"] for o in s["ops"])
    ]
    assert len(page.names()) == len(both)


def test_a_link_opens_its_step_and_says_when_it_cannot(home: Path, opened: Any) -> None:
    name = sorted(Run(home / "random").episodes)[3]
    address = f"#{name.replace('#', '%23')}/2/1"
    page = opened(home / "both" / "report.html", address)
    assert page.text("#name") == name
    assert page.text("#about .chip >> nth=0") == "random"
    assert page.text(".step > h3").startswith("Step 2 · ")
    assert page.tab.evaluate("scrollY") > 500
    page.tab.goto(page.tab.url.split("#")[0] + "#nobody/0")
    assert page.text("#lost") == "nobody is not among the episodes on this page."
    page.tab.goto(page.tab.url.split("#")[0] + "#%E0%A4%A/0")
    assert page.text("#name") == name


# --- access, looks


def test_everything_can_be_reached_by_keys_alone_with_a_visible_focus(home: Path, opened: Any) -> None:
    _, steps = journal(home)
    said = next(step["step"] for step in steps if step["reply"])
    page = opened(home / "sloppy" / "report.html")
    tab = page.tab
    for _ in range(said):
        tab.keyboard.press("ArrowRight")
    seen = []
    for _ in range(400):
        tab.keyboard.press("Tab")
        found = tab.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e);
            return [e.id || e.className || e.tagName, s.outlineStyle !== "none" && s.outlineWidth !== "0px"]; }"""
        )
        if found[0] == "BODY":
            break
        assert found[1], f"no visible focus on {found[0]}"
        seen.append(found[0])
    assert {"skip", "theme", "search", "result", "cause", "slider", "forward", "last"} <= set(seen)
    assert {"box reply", "scroll"} <= {name.strip() for name in seen}
    tab.locator("#list a").nth(2).focus()
    tab.keyboard.press("Enter")
    assert page.text("#name") == page.names()[2]
    tab.locator("#slider").focus()
    tab.keyboard.press("ArrowRight")
    assert page.text(".step > h3").startswith("Step 1 · ")


def test_controls_and_regions_have_names(home: Path, opened: Any) -> None:
    page = opened(home / "both" / "report.html")
    unnamed = page.tab.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [role=region], img, nav")]
        .filter((e) => !(e.getAttribute("aria-label") || e.alt || e.textContent.trim() || e.closest("label")))
        .map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.tab.locator("#slider").get_attribute("aria-valuetext").startswith("Step 0 · reads chunk 1")
    assert page.tab.locator("h1").count() == 1
    assert "j" in page.text(".keys")


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => v <= 10 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const ground = (e) => {
    const colour = rgb(getComputedStyle(e).backgroundColor);
    return colour[3] === 255 ? colour : ground(e.parentElement);
  };
  const low = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.disabled || e.closest("script, style, option")) continue;
    const a = light(rgb(getComputedStyle(e).color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)} ${e.textContent.slice(0, 30)}`);
  }
  return low;
}"""
"""Elements whose own text has less contrast than WCAG 2.2 asks for (1.4.3, level AA: 4.5)."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_follow_the_system_and_the_button_with_enough_contrast(
    home: Path, opened: Any, scheme: str
) -> None:
    page = opened(home / "sloppy" / "report.html", color_scheme=scheme)
    tab = page.tab
    other = {"light": "dark", "dark": "light"}[scheme]

    def looks() -> tuple[str, bool]:
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        return ground, tab.locator("img.dark").first.is_visible()

    grounds = {"light": ("rgb(255, 255, 255)", False), "dark": ("rgb(22, 25, 29)", True)}
    for _ in range(2):
        assert looks() == grounds[scheme]
        tab.keyboard.press("End")
        assert tab.evaluate(CONTRAST) == []
        assert page.text("#theme") == other.capitalize()
        tab.locator("#theme").click()
        assert looks() == grounds[other]
        assert tab.evaluate(CONTRAST) == []
        tab.locator("#theme").click()


def test_on_paper_the_episode_is_unfolded_and_controls_are_gone(home: Path, opened: Any) -> None:
    page = opened(home / "sloppy" / "report.html", color_scheme="dark")
    _, steps = journal(home)
    page.tab.emulate_media(media="print", color_scheme="dark")
    page.tab.locator(".step").nth(len(steps) - 1).wait_for()
    assert page.tab.locator(".step").count() == len(steps)
    for gone in ("#filters", "#list", "#slider", "#theme", "img.dark"):
        assert not page.tab.locator(gone).first.is_visible()
    for kept in (".cards", "img.light", ".question"):
        assert page.tab.locator(kept).first.is_visible()
    page.tab.emulate_media(media="screen")
    page.tab.locator(".step").nth(1).wait_for(state="detached")
    page.tab.locator("#theme").click()
    assert page.tab.pdf()[:5] == b"%PDF-"
    assert page.tab.locator(".step").count() == 1


# --- hostile text


@pytest.mark.usefixtures("bare")
def test_hostile_text_does_nothing_at_all(tmp_path: Path, opened: Any) -> None:
    out = report_runs.hostile(tmp_path)
    report([out])
    page = opened(out / "report.html")
    tab = page.tab
    count = len(Run(out).steps(min(Run(out).episodes)))
    for pressed in (count, 2):
        for _ in range(pressed):
            tab.keyboard.press("ArrowRight")
            assert tab.locator("#episodes :is(script, img, svg, iframe, a[href^=javascript])").count() == 0
        if tab.locator(".prompt summary").count():
            tab.locator(".prompt summary").click()
        tab.keyboard.press("j")
    assert tab.evaluate("typeof window.hacked") == "undefined"
    assert tab.evaluate("document.scripts.length") == 2
    assert (
        tab.evaluate("document.querySelectorAll('[onerror], [onload], iframe, object, embed, base, link').length") == 0
    )
    shown = page.text("#viewer")
    assert "<script>window.hacked=1</script></script><!--" in shown
    assert "<U+202E>gnp<U+2066>.exe" in shown
    assert "<U+001B>[31mred<U+0000>nul" in shown
    assert "<U+D800>" in shown
    assert "{{ 7*7 }} ${7*7}" in shown
    tab.locator("#search").fill("</script><!--<script><img")
    assert len(page.names()) == 2
    assert tab.locator("mark").count() > 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
    tab.emulate_media(media="print")
    tab.locator(".step").nth(1).wait_for()


@pytest.mark.usefixtures("bare")
def test_a_run_of_chaos_and_one_without_steps_can_be_walked_through(tmp_path: Path, opened: Any) -> None:
    folder = report_runs.tasks(tmp_path, 2)
    for agent, script in (("atommem", "chaotic"), ("rag", "oracle"), ("memagent", "random")):
        out = report_runs.run(folder, tmp_path / agent, script, f"agent.name={agent}")
        report([out])
        page = opened(out / "report.html")
        for _ in page.names():
            for _ in range(4):
                page.tab.keyboard.press("ArrowRight")
                assert page.tab.locator(".step").count() == 1
            page.tab.keyboard.press("j")
        if agent == "rag":
            page.tab.keyboard.press("Home")
            assert page.text(".step > h3") == "Before the first call"
            assert page.tab.url.endswith("/-1")
