"""Runs become rows: the same prompts, tokens in = tokens trained, and every refusal in one sentence."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import demos
import pytest
from training_recipes import staged

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.calls import Finish, Generation
from atommem_cli.core.errors import RunMismatch, SourceError, UsageError
from atommem_cli.core.types import Trajectory
from atommem_cli.data import preparation
from atommem_cli.models import tiny, words
from atommem_cli.models.batching import PromptRow as Prompt
from atommem_cli.models.generation import Turns
from atommem_cli.models.words import Words
from atommem_cli.replay import replay
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import planned_tasks
from atommem_cli.runs.reader import Run
from atommem_cli.runs.writer import RunFolder
from atommem_cli.scoring import rewards
from atommem_cli.training import demonstrations, learners, sft_rows
from atommem_cli.training.demonstrations import Demonstrations


@pytest.fixture(scope="module")
def tiny_words() -> Words:
    return learners.load(demos.recipe()).words


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one's own."""
    shutil.copytree(demos.shared(), tmp_path / "run")
    return tmp_path / "run"


def collected(recipe: Recipe, tiny_words: Words, longest: int | None = None) -> Demonstrations:
    return demonstrations.collect(recipe, tiny_words, longest)


def timeless(trajectories: list[Trajectory]) -> list[Trajectory]:
    return [
        replace(one, transitions=tuple(replace(step, seconds=0.0) for step in one.transitions)) for one in trajectories
    ]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- the replay


@pytest.mark.parametrize(
    ("script", "changes"),
    [
        ("careful", ()),
        ("sloppy", ("eval.repeats=2", "task.limit=5", "chunk.by=tokens", "chunk.overlap=3")),
        ("oracle", ("agent={name: rag, dialect: tiny}",)),
        ("oracle", ("agent={name: memagent, dialect: tiny}",)),
        ("oracle", ("agent={name: full_context, dialect: tiny}", "agent.dialect=paper")),
        ("oracle", ("memory.drop=[update]", "memory.retrieve_k=1", "store={name: chroma}")),
        ("chaotic", ("budget.calls=7", "agent.dialect=paper", "budget.entries=2")),
    ],
)
def test_an_episode_played_again_is_the_one_that_was_played(script: str, changes: tuple[str, ...]) -> None:
    recipe = demos.played(*changes, script=script)
    parts = assemble(recipe)
    played = list(parts.play(parts.episodes(planned_tasks(recipe))))
    parts.close()
    again = list(replay.play(Run(demos.collect(*changes, script=script))))
    assert timeless([trajectory for _, trajectory in again]) == timeless(played)
    assert [task for task, _ in again] == [t for t in planned_tasks(recipe) for _ in range(recipe.eval.repeats)]


def test_the_window_of_a_model_counts_without_its_weights() -> None:
    changes = (
        "agent={name: full_context, dialect: tiny}",
        "policy={name: hf, model: tiny, temperature: 0, window: 60}",
    )
    run = demos.collect(*changes)
    trajectories = [trajectory for _, trajectory in replay.play(Run(run))]
    assert [len(t.transitions) for t in trajectories] == [1] * 12
    assert max(t.transitions[0].generation.prompt_tokens for t in trajectories) <= 60


def test_the_run_stays_as_it_is_while_another_process_works_on_it(run: Path, tiny_words: Words) -> None:
    identity = {key: value for key, value in json.loads((run / "run.json").read_text()).items() if key != "schema"}
    with RunFolder(run, identity, (run / "recipe.yaml").read_text()):
        before = demos.contents(run)
        collected(demos.recipe(run=run), tiny_words)
        assert demos.contents(run) == before


def test_of_an_unfinished_run_the_finished_episodes_count(run: Path) -> None:
    whole = [trajectory.episode for _, trajectory in replay.play(Run(run))]
    episodes = (run / "episodes.jsonl").read_text().splitlines(keepends=True)
    failed = {**json.loads(episodes[1]), "stop": "error", "error": "the server is gone"}
    (run / "episodes.jsonl").write_text("".join(episodes[:5]) + json.dumps(failed) + "\n" + episodes[5][:40])
    with (run / "steps.jsonl").open("a") as file:
        file.write('{"episode":"stream-')
    left = [trajectory.episode for _, trajectory in replay.play(Run(run))]
    assert left == [whole[0], *whole[2:5]]


# --- what is kept


def test_every_call_of_a_trajectory_that_reaches_the_reward_is_a_row(tiny_words: Words) -> None:
    run = demos.collect(script="sloppy")
    scores = {line["task"]: line["scores"]["em"][0] for line in lines(run / "episodes.jsonl")}  # type: ignore[index]
    good = {task for task, score in scores.items() if score >= 0.5}
    assert 0 < len(good) < 12
    found = collected(demos.recipe(run=run), tiny_words)
    assert (found.trajectories, found.kept, found.dropped, found.best) == (12, len(good), 0, 1.0)
    steps = [line for line in lines(run / "steps.jsonl") if str(line["episode"]).partition("#")[0] in good]
    said = [tiny_words.tokenizer.decode(row.completion, skip_special_tokens=True) for row in found.rows]
    replies = [" ".join(tiny_words.tokenizer.tokenize(step["reply"])) for step in sorted(steps, key=_order)]
    assert said == replies
    everything = collected(demos.recipe("sft.min_reward=0", run=run), tiny_words)
    assert (everything.kept, len(everything.rows)) == (12, len(lines(run / "steps.jsonl")))


def _order(step: dict[str, object]) -> tuple[str, int]:
    return str(step["episode"]), int(str(step["step"]))


def test_the_reward_is_the_recipes(tiny_words: Words) -> None:
    found = collected(demos.recipe("sft.rewards={em: 1, tagged: 0.5}", "sft.min_reward=1.5"), tiny_words)
    totals = [rewards.total({"em": 1, "tagged": 0.5})(*pair) for pair in replay.play(Run(demos.shared()))]
    assert found.kept == sum(total >= 1.5 for total in totals) > 0
    assert found.best == max(totals) == 1.5


def test_several_runs_are_learned_from_and_none_twice(tiny_words: Words) -> None:
    run, other = demos.shared(), demos.collect("seed=7", script="sloppy")
    once = collected(demos.recipe("sft.min_reward=0"), tiny_words)
    runs = f"sft.runs=[{run}, {other}, {run}/../run]"
    both = collected(demos.recipe("sft.min_reward=0", runs), tiny_words)
    assert both.trajectories == 24
    assert both.rows[: len(once.rows)] == once.rows


def test_long_rows_are_dropped_and_counted_never_cut(tiny_words: Words) -> None:
    recipe = demos.recipe()
    whole = collected(recipe, tiny_words)
    lengths = sorted(row.tokens for row in whole.rows)
    limit = lengths[len(lengths) // 2]
    some = collected(recipe, tiny_words, limit)
    assert some.rows == [row for row in whole.rows if row.tokens <= limit]
    assert some.dropped == sum(length > limit for length in lengths) > 0
    assert collected(recipe, replace(tiny_words, window=limit)).rows == some.rows
    with pytest.raises(UsageError, match=f"every one of {len(lengths)} model calls is longer than 3 tokens"):
        collected(recipe, tiny_words, 3)


# --- tokens


def test_tokens_in_are_tokens_trained(tiny_words: Words) -> None:
    """The prompt is what the policy is given, the completion what it would have had to write, to the last token."""
    turns = Turns(tiny_words)
    steps = [step for _, trajectory in replay.play(Run(demos.shared())) for step in trajectory.transitions]
    found = collected(demos.recipe("sft.min_reward=0"), tiny_words)
    for step, row in zip(steps, found.rows, strict=True):
        prompt = Prompt(0, tiny_words.chat.prompt(step.observation.messages), step.observation.max_new_tokens, 0)
        assert list(row.prompt) == prompt.prompt
        written = turns.cut(prompt, [*row.completion, 5, 6, 7])
        assert written == list(row.completion)
        reply = turns.reply(prompt, written)
        assert (reply.finish, reply.text) == (
            Finish.STOP,
            " ".join(tiny_words.tokenizer.tokenize(step.generation.text)),
        )


def test_prompts_of_an_edited_context_are_rows_as_a_policy_in_this_process_is_given_them(tmp_path: Path) -> None:
    agent = "agent={name: agemem, dialect: tiny, retrieval: never, filter_threshold: 0.4}"
    folder = f"task.folder={staged()}"
    run = demos.collect(folder, agent, "policy.tokenizer=tiny_agemem", script="thorough")
    given = demos.recipe(folder, agent, "policy.model=tiny_agemem", run=run)
    spoken = learners.load(given).words
    found = collected(given, spoken)
    played = list(replay.play(Run(run)))
    assert len(found.rows) == sum(len(one.transitions) for _, one in played)
    rows = iter(found.rows)
    openings = Counter()
    for _, trajectory in played:
        heard: dict[str, tuple[int, ...]] = {}
        for step in trajectory.transitions:
            row = next(rows)
            messages = [
                replace(m, tokens=heard[m.content]) if m.role == "assistant" else m for m in step.observation.messages
            ]
            assert [*row.prompt] == spoken.chat.prompt(messages)
            openings[spoken.tokenizer.convert_ids_to_tokens(row.prompt[0])] += 1
            heard[step.generation.text] = tuple(row.completion)
    assert openings["assistant"] > 0, "what stood before a reply was filtered out"
    assert openings["user"] > 0


def test_a_reply_that_was_cut_off_teaches_no_end(tiny_words: Words) -> None:
    step = next(replay.play(Run(demos.shared())))[1].transitions[0]
    ids = [tiny_words.tokenizer.get_vocab()[word] for word in ("mara", "home", "velt")]
    assert tiny_words.completion(replace(step, generation=Generation("mara home velt"))) == [*ids, tiny_words.end]
    cut = replace(step, generation=Generation("mara home velt", Finish.LENGTH))
    assert tiny_words.completion(cut) == ids
    assert tiny_words.completion(replace(step, generation=Generation(""))) == [tiny_words.end]
    unknown = tiny_words.tokenizer.unk_token_id
    assert tiny_words.completion(replace(step, generation=Generation("\ud83d mara")))[:2] == [unknown, ids[0]]


def test_trl_makes_the_same_tokens_from_the_conversation(tiny_words: Words, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl.trainer.sft_trainer import SFTTrainer

    from atommem_cli.training import trl_config

    recipe = demos.recipe("sft.min_reward=0")
    steps = [step for _, trajectory in replay.play(Run(demos.shared())) for step in trajectory.transitions][:20]
    conversations = Dataset.from_list(
        [
            {
                "prompt": [{"role": m.role, "content": m.content} for m in step.observation.messages],
                "completion": [{"role": "assistant", "content": step.generation.text}],
            }
            for step in steps
        ]
    )
    learner = learners.load(recipe)
    config = trl_config.sft(recipe, tmp_path, {"max_length": None, "gradient_checkpointing": False, "use_cpu": True})
    trainer = SFTTrainer(learner.model, config, train_dataset=conversations, processing_class=learner.words.tokenizer)
    ours = collected(recipe, tiny_words).rows[:20]
    for theirs, row in zip(trainer.train_dataset, ours, strict=True):
        assert theirs["input_ids"] == [*row.prompt, *row.completion]
        assert theirs["labels"] == [-100] * len(row.prompt) + list(row.completion)


def test_the_end_of_a_turn_is_what_the_template_writes_and_generation_stops_at(tmp_path: Path) -> None:
    """As in Llama 3, whose template ends a turn with another token than the tokenizer's own."""
    tokenizer = tiny.build_tokenizer((*tiny.MARKS, "mara", "velt", "where", "<turn>"))
    model = tiny.build_model(tokenizer, seed=0)
    turn, own = tokenizer.convert_tokens_to_ids(["<turn>", tiny.END])
    template = tokenizer.chat_template
    cases = (
        ("turn", template.replace(tiny.END, "<turn>"), [own, turn], turn),
        ("elsewhere", template.replace(tiny.END, "<turn>"), [own], own),  # generation would run over it
        ("refused", "{{ raise_exception('no') if messages|length > 1 else '' }}" + template, [own, turn], own),
    )
    for name, chat_template, ends, end in cases:
        tokenizer.chat_template, model.generation_config.eos_token_id = chat_template, ends
        tiny.save(tmp_path / name, model, tokenizer)
        recipe = demos.recipe(f"policy.model={tmp_path / name}")
        found = learners.load(recipe).words
        assert (found.end, list(found.ends)) == (end, sorted(ends))
        outline = words.outline(recipes.plugin("policies", recipe.policy)[1])
        assert (outline.end, outline.ends, outline.window) == (found.end, found.ends, found.window)


def test_a_model_without_any_end_cannot_be_taught_to_stop(tmp_path: Path) -> None:
    tokenizer = tiny.build_tokenizer((*tiny.MARKS, "mara"))
    model = tiny.build_model(tokenizer, seed=0)
    tokenizer.eos_token = None
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    tiny.save(tmp_path / "endless", model, tokenizer)
    with pytest.raises(UsageError, match="names no token that ends a reply"):
        _ = learners.load(demos.recipe(f"policy.model={tmp_path / 'endless'}")).words.end


# --- the hold-out


def test_tasks_are_held_out_by_name_not_by_order() -> None:
    made = [sft_rows.row(f"t-{number % 20}", [number], [1]) for number in range(60)]
    training, validation = sft_rows.hold_out(made, 0.25, 1)
    held = {row.task for row in validation}
    assert len(held) == 5
    assert held.isdisjoint(row.task for row in training)
    assert sorted(training + validation) == sorted(made)
    assert {row.task for row in sft_rows.hold_out(made[::-1], 0.25, 1)[1]} == held
    assert {row.task for row in sft_rows.hold_out(made, 0.25, 2)[1]} != held
    assert sft_rows.hold_out(made, 0.0, 1) == (made, [])
    assert len({row.task for row in sft_rows.hold_out(made, 0.01, 1)[1]}) == 1
    assert sft_rows.hold_out(made[::20], 0.5, 1) == (made[::20], [])  # one task alone is trained on


def test_the_digest_of_rows_knows_every_token_its_place_and_its_part() -> None:
    base = [sft_rows.row("t", [1, 2], [3]), sft_rows.row("t", [4], [5])]
    others = ([sft_rows.row("t", [1], [2, 3]), base[1]], base[::-1], base[:1])
    digests = {
        sft_rows.digest(base, []),
        sft_rows.digest(base[:1], base[1:]),
        *(sft_rows.digest(one, []) for one in others),
    }
    assert len(digests) == 5
    assert sft_rows.digest(list(base), []) == sft_rows.digest(base, [])


# --- refusals


def refusal(kind: type[Exception], recipe: Recipe, tiny_words: Words) -> str:
    with pytest.raises(kind) as raised:
        collected(recipe, tiny_words)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_without_a_run_the_way_to_one_is_told(tiny_words: Words) -> None:
    said = refusal(UsageError, demos.recipe("sft.runs=[]"), tiny_words)
    assert "atommem eval --policy scripted:sloppy --set task.split=train" in said


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, run: Path, tiny_words: Words) -> None:
    assert "it has no run.json" in refusal(UsageError, demos.recipe(run=tmp_path / "no such"), tiny_words)
    identity = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**identity, "command": "sft"}))
    assert "(it is of sft)" in refusal(UsageError, demos.recipe(run=run), tiny_words)
    (run / "steps.jsonl").unlink()
    assert "it has no steps.jsonl" in refusal(UsageError, demos.recipe(run=run), tiny_words)


def test_nothing_good_enough_names_the_best_and_how_many(tiny_words: Words) -> None:
    run = demos.collect("task.limit=3", script="mute")
    said = refusal(UsageError, demos.recipe(run=run), tiny_words)
    assert "none of 3 trajectories reaches sft.min_reward 0.5; the best has 0" in said


def test_a_run_without_a_finished_episode_is_refused(run: Path, tiny_words: Words) -> None:
    (run / "episodes.jsonl").write_text("")
    assert "no episode has come to its end" in refusal(UsageError, demos.recipe(run=run), tiny_words)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("agent={name: rag, dialect: tiny}", "its agent.name is atommem and the recipe's rag"),
        ("agent.dialect=paper", "its agent.dialect is tiny and the recipe's paper"),
        ("memory.drop=[delete]", "its memory.drop is empty and the recipe's delete"),
    ],
)
def test_a_run_of_another_agent_is_refused(change: str, told: str, tiny_words: Words) -> None:
    assert told in refusal(RunMismatch, demos.recipe(change), tiny_words)


def test_tasks_must_be_those_that_were_played(tmp_path: Path, tiny_words: Words) -> None:
    def prepare(seed: int) -> None:
        preparation.prepare("stream", out=tmp_path / "data", split="train", limit=3, seed=seed, force=True)

    prepare(1)
    run = demos.collect(f"task.folder={tmp_path / 'data'}")
    prepare(2)
    assert "on other tasks than those in" in refusal(RunMismatch, demos.recipe(run=run), tiny_words)
    shutil.rmtree(tmp_path / "data")
    assert "is missing" in refusal(SourceError, demos.recipe(run=run), tiny_words)


@pytest.mark.parametrize(("step", "told"), [(0, "another prompt"), (-1, "another memory or other answers")])
def test_a_run_that_comes_out_otherwise_is_refused(step: int, told: str, run: Path, tiny_words: Words) -> None:
    """As when the dialect, the parser or the tasks' rendering have changed since: here a reply is another one."""
    steps = lines(run / "steps.jsonl")
    mine = [line for line in steps if line["episode"] == steps[0]["episode"]]
    mine[step]["reply"] = "<answer>nobody</answer><create>mara home velt</create><read>mara</read>"
    (run / "steps.jsonl").write_text("".join(json.dumps(line) + "\n" for line in steps))
    said = refusal(RunMismatch, demos.recipe(run=run), tiny_words)
    assert told in said
    assert "have changed since the run" in said


def test_other_chunks_are_noticed(run: Path, tiny_words: Words) -> None:
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("tokens: 16", "tokens: 24"))
    (run / "chunks.jsonl").unlink()  # with it, the run's own chunks count
    assert "step 0 comes out with another prompt" in refusal(RunMismatch, demos.recipe(run=run), tiny_words)
