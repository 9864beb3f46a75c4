"""The local policy: batches, seeds, limits, settings, and what it says when it cannot work."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

from atommem_cli.core.calls import Expects, Finish, Generation, Message, Observation
from atommem_cli.core.episode import Call, ServerPolicy
from atommem_cli.core.errors import BackendError, MissingExtra, UsageError
from atommem_cli.core.stream_words import VOCABULARY
from atommem_cli.models import loading, tiny
from atommem_cli.models.chat import Chat
from atommem_cli.models.sampling import GumbelSampler
from atommem_cli.policies import hf

WORDS = st.sampled_from(tiny.MARKS)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    tokenizer = tiny.build_tokenizer(tiny.MARKS)
    tiny.save(made, tiny.build_model(tokenizer, seed=0), tokenizer)
    return made


def policy(model: Path | str = "tiny", **options: Any) -> hf.HuggingFace:
    return hf.build(hf.Options(model=str(model), device="cpu", **options))


def call(text: str, most: int = 12, seed: int = 0, system: str = "memory") -> Call:
    messages = (Message("system", system), Message("user", text))
    return Call(None, Observation(messages, most, Expects.ANSWER), seed)


CALLS = st.builds(
    call,
    st.lists(WORDS, max_size=40).map(" ".join),
    st.integers(1, 16),
    st.integers(0, 2**63 - 1),
)


# --- batches


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1}, {"temperature": 0.7, "top_p": 0.8}])
def test_a_reply_does_not_depend_on_its_batch_mates(options: dict[str, float]) -> None:
    asked = policy(**options)

    @settings(max_examples=5, deadline=None)
    @given(st.lists(CALLS, min_size=8, max_size=8))
    def check(calls: list[Call]) -> None:
        together = asked.generate(calls)
        assert together == [asked.generate([c])[0] for c in calls]
        assert together[::-1] == asked.generate(calls[::-1])

    check()


def test_small_micro_batches_change_nothing() -> None:
    calls = [call("chunk " * (i % 7), most=1 + i, seed=i) for i in range(12)]
    assert policy(micro_batch_tokens=60).generate(calls) == policy().generate(calls)


def test_positions_never_run_beyond_the_window_while_a_row_waits(tmp_path: Path) -> None:
    # GPT-2's learned positions end with the window: one step more is an index error.
    tokenizer = tiny.build_tokenizer(tiny.MARKS, window=32)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=32, n_embd=16, n_layer=1, n_head=2, eos_token_id=2, bos_token_id=2
    )
    tiny.save(tmp_path, GPT2LMHeadModel(config), tokenizer)
    asked = policy(tmp_path, temperature=0)
    long, short = call("chunk " * 24, most=2), call("chunk", most=20)
    alone = [asked.generate([c])[0] for c in (long, short)]
    assert alone[0].prompt_tokens == 30
    assert asked.generate([long, short]) == alone


# --- limits


def test_each_call_ends_by_its_end_token_or_at_its_own_limit() -> None:
    calls = [call("chunk", most=1 + i % 120, seed=i) for i in range(120)]
    replies = policy(temperature=1).generate(calls)
    fast = tiny.build_tokenizer((*tiny.MARKS, *VOCABULARY))
    for asked, reply in zip(calls, replies, strict=True):
        most = asked.observation.max_new_tokens
        assert reply.finish in (Finish.STOP, Finish.LENGTH)
        assert reply.new_tokens <= most
        if reply.finish is Finish.LENGTH:
            assert reply.new_tokens == most
        words = fast(reply.text)["input_ids"]
        # The end token counts and is not shown, nor are padding and unknown words.
        assert len(words) <= reply.new_tokens - (reply.finish is Finish.STOP)
    finishes = [reply.finish for reply in replies]
    assert min(finishes.count(Finish.STOP), finishes.count(Finish.LENGTH)) > 10


def test_padding_that_is_an_end_token_ends_no_reply(folder: Path, tmp_path: Path) -> None:
    model, tokenizer = loading.load_model(str(folder), "auto"), loading.load_tokenizer(str(folder))
    tokenizer.pad_token = tokenizer.eos_token
    tiny.save(tmp_path, model, tokenizer)
    calls = [call("chunk " * i, most=1 + 3 * i, seed=i) for i in range(12)]
    assert policy(tmp_path, temperature=1).generate(calls) == policy(folder, temperature=1).generate(calls)


def test_a_prompt_that_does_not_fit_overflows_and_the_others_go_on() -> None:
    asked = policy(window=30)
    fits, too_long = call("chunk " * 14, most=10), call("chunk " * 15, most=10)
    first, second, third = asked.generate([fits, too_long, fits])
    assert first == third
    assert first.prompt_tokens == 20
    assert second == Generation("", Finish.OVERFLOW, error="21 prompt tokens and 10 new ones exceed the window of 30")
    assert asked.generate([too_long, too_long]) == [second, second]
    assert asked.generate([]) == []


def test_the_window_is_the_models_own_unless_it_is_given() -> None:
    assert (policy().window, policy(window=99).window) == (2048, 99)
    assert not isinstance(policy(), ServerPolicy)


def test_a_micro_batch_may_be_smaller_than_one_prompt() -> None:
    assert policy(micro_batch_tokens=1).generate([call("chunk")] * 2) == policy().generate([call("chunk")] * 2)


@settings(max_examples=25, deadline=None)
@given(st.text(), st.text())
def test_no_prompt_raises(text: str, system: str) -> None:
    asked = policy(window=40)
    for text_ in (text, f"{text}\ud83d", "{{ messages }} <end> <pad>"):
        (reply,) = asked.generate([call(text_, most=2, system=system)])
        assert reply.finish is not Finish.ERROR


# --- sampling


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.75)])
def test_draws_follow_the_softmax(temperature: float, top_p: float) -> None:
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])  # (V,)
    draws = 6000
    sampler = GumbelSampler(range(draws), temperature, top_p, CPU)
    picked = sampler(torch.empty(0), logits.expand(draws, -1)).argmax(dim=-1)  # (R,)
    expected = torch.softmax(logits.double() / temperature, dim=-1)
    if top_p < 1:
        expected[2:] = 0  # 0.59 + 0.22 reach 0.75
        expected /= expected.sum()
    counts = torch.bincount(picked, minlength=6)
    kept = expected > 0
    assert counts[~kept].sum() == 0
    assert chisquare(counts[kept], (expected * draws)[kept]).pvalue > 0.001


def test_noise_depends_on_seed_and_step_alone() -> None:
    scores = torch.zeros(3, 50)  # (R, V)
    mixed, alone = GumbelSampler([4, 9, 4], 1.0, 1.0, CPU), GumbelSampler([9], 1.0, 1.0, CPU)
    steps = [(mixed(torch.empty(0), scores), alone(torch.empty(0), scores[:1])) for _ in range(3)]
    for many, one in steps:
        assert torch.equal(many[1], one[0])
        assert torch.equal(many[0], many[2])
        assert not torch.equal(many[0], many[1])
    assert not torch.equal(steps[0][0], steps[1][0])


@settings(deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=1, max_size=12), st.floats(0.01, 1.0))
def test_top_p_keeps_the_fewest_tokens_that_reach_it(values: list[float], top_p: float) -> None:
    scores = torch.tensor([values])  # (1, V)
    kept = GumbelSampler([0], 1.0, top_p, CPU)(torch.empty(0), scores)[0].isfinite()
    probability = torch.softmax(scores[0].double(), dim=-1)
    inside = probability[kept]
    assert len(inside) >= 1
    assert inside.sum() >= top_p - 1e-9
    assert inside.sum() - inside.min() < top_p or top_p == 1
    assert kept.all() or inside.min() >= probability[~kept].max()


def test_other_seeds_say_other_things_and_greedy_has_none() -> None:
    sampled = policy(temperature=1).generate([call("chunk", most=16, seed=i) for i in range(6)])
    assert len({reply.text for reply in sampled}) == 6
    greedy = policy(temperature=0).generate([call("chunk", most=16, seed=i) for i in range(6)])
    assert len({reply.text for reply in greedy}) == 1


def test_only_our_settings_act_whatever_the_model_folder_asks_for(folder: Path, tmp_path: Path) -> None:
    calls = [call("chunk " * i, most=30, seed=i) for i in range(5)]
    model, tokenizer = loading.load_model(str(folder), "auto"), loading.load_tokenizer(str(folder))
    model.generation_config = GenerationConfig(
        do_sample=True, repetition_penalty=9.0, top_k=1, temperature=0.01, no_repeat_ngram_size=1, min_new_tokens=29,
        suppress_tokens=[20, 21, 22], eos_token_id=2, max_length=7,
    )  # fmt: skip
    tiny.save(tmp_path, model, tokenizer)
    assert json.loads((tmp_path / "generation_config.json").read_text())["repetition_penalty"] == 9.0
    for temperature in (0.0, 1.0):
        expected = policy(folder, temperature=temperature).generate(calls)
        assert policy(tmp_path, temperature=temperature).generate(calls) == expected
        if temperature == 0:
            assert expected == [plain_greedy(folder, c) for c in calls]


def plain_greedy(folder: Path, asked: Call) -> Generation:
    """Argmax by argmax, without `generate`."""
    model, tokenizer = loading.load_model(str(folder), "auto"), loading.load_tokenizer(str(folder))
    prompt = Chat(tokenizer, "", thinking=False).prompt(asked.observation.messages)
    ids = torch.tensor([prompt])  # (1, P)
    written: list[int] = []
    with torch.no_grad():
        while len(written) < asked.observation.max_new_tokens and 2 not in written:
            written.append(int(model(ids).logits[0, -1].argmax()))
            ids = torch.tensor([prompt + written])
    finish = Finish.STOP if 2 in written else Finish.LENGTH
    text = tokenizer.decode(written, skip_special_tokens=True)
    return Generation(text, finish, prompt_tokens=len(prompt), new_tokens=len(written))


def test_every_end_token_of_the_model_ends_a_reply(folder: Path, tmp_path: Path) -> None:
    model, tokenizer = loading.load_model(str(folder), "auto"), loading.load_tokenizer(str(folder))
    model.generation_config.eos_token_id = list(range(len(tokenizer)))
    tiny.save(tmp_path, model, tokenizer)
    replies = policy(tmp_path, temperature=1).generate([call("chunk", seed=i) for i in range(10)])
    assert {(reply.finish, reply.new_tokens) for reply in replies} == {(Finish.STOP, 1)}


# --- chat templates


def tokenizer_with(template: str) -> Any:
    made = tiny.build_tokenizer(tiny.MARKS)
    made.chat_template = template
    return made


def rendered(template: str, *, thinking: bool = False, system: str = "memory") -> str:
    made = tokenizer_with(template)
    chat = Chat(made, "m", thinking=thinking)
    prompt = chat.prompt((Message("system", system), Message("user", "query ?")))
    return str(made.decode(prompt))


LOOP = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (LOOP, "system memory user query ?"),
        ("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + LOOP, "user memory query ?"),
        ("user {{ messages[-1].content }}", "user memory query ?"),
    ],
    ids=["takes it", "refuses it", "drops it"],
)
def test_a_system_message_always_arrives(template: str, expected: str) -> None:
    assert rendered(template) == expected


def test_thinking_is_passed_on() -> None:
    switch = LOOP + "{% if enable_thinking %}notes{% else %}none{% endif %}"
    assert rendered(switch, thinking=True).endswith("notes")
    assert rendered(switch).endswith("none")


@pytest.mark.parametrize(
    ("form", "expected"), [("%d %b %Y", "26 Jul 2024"), ("%d %B %Y", "26 July 2024"), ("%Y-%m-%d", "2024 - 07 - 26")]
)
def test_a_prompt_does_not_change_overnight(form: str, expected: str) -> None:
    made = tiny.build_tokenizer(("26", "Jul", "July", "2024", "07", "-"))
    made.chat_template = "{% if strftime_now is defined %}{{ strftime_now('" + form + "') }}{% endif %}"
    assert made.decode(Chat(made, "m", thinking=False).prompt((Message("user", ""),))) == expected


def test_a_tokenizer_without_chat_template_is_refused_before_weights_load(folder: Path, tmp_path: Path) -> None:
    loading.load_tokenizer(str(folder)).save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(UsageError, match=r"has no chat template: name an instruct model") as caught:
        policy(tmp_path)
    assert str(tmp_path) in str(caught.value)


# --- what cannot be loaded, and what is recorded


def damage(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "holds no model: it has no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded: .*model.safetensors"),
        (damage("model.safetensors", "zap"), "cannot be loaded: "),
        (damage("config.json", "{"), "cannot be loaded: "),
        (damage("config.json", '{"model_type": "abacus"}'), "cannot be loaded: "),
        (damage("tokenizer.json", "{"), "cannot be loaded: "),
    ],
)
def test_a_damaged_folder_is_named(folder: Path, tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    change(tmp_path)
    with pytest.raises(MissingExtra, match=message) as caught:
        policy(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "models", "a/b/c", "~/nowhere-at-all"])
def test_a_folder_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(MissingExtra, match=f"there is no model folder {name}"):
        policy(name)
    with pytest.raises(MissingExtra, match=f"there is no model folder {name}"):
        hf.tokenizer(hf.Options(model=name))


def test_running_out_of_memory_comes_with_advice() -> None:
    with (
        pytest.raises(BackendError, match=r"lower policy\.micro_batch_tokens"),
        loading.memory_advice("policy.micro_batch_tokens"),
    ):
        torch.empty(2**50)
    with pytest.raises(RuntimeError, match="inconsistent"), loading.memory_advice("policy.micro_batch_tokens"):
        torch.ones(2) @ torch.ones(3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(BackendError, match="torch sees no GPU"):
        hf.build(hf.Options(model="tiny", device="cuda"))


def test_describe_names_weights_and_settings(folder: Path) -> None:
    described = policy(folder, temperature=0.5, top_p=0.9, dtype="bfloat16").describe()
    template = tiny.build_tokenizer(()).chat_template
    assert described == {
        "name": f"hf: {folder}",
        "weights": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "dtype": "bfloat16",
        "device": "cpu",
        "temperature": "0.5",
        "top_p": "0.9",
        "thinking": "false",
        "chat_template": hashlib.sha256(template.encode()).hexdigest()[:16],
    }
    fresh, again = policy(), policy(dtype="bfloat16")
    assert fresh.describe() == policy().describe()
    assert fresh.weights != again.weights


# --- the tokenizer


def test_spans_locate_tokens_in_the_text_as_it_is() -> None:
    tokenizer = hf.tokenizer(hf.Options(model="tiny"))
    text = "memory 1 : größe\ud83d \U0001f600 </create>"
    assert [text[a:b] for a, b in tokenizer.spans(text)] == [
        "memory", "1", ":", "größe", "\ud83d", "\U0001f600", "</create>",
    ]  # fmt: skip
    assert (tokenizer.name, tokenizer.spans("")) == ("tiny", [])


def test_a_stream_of_half_a_million_characters_is_quick_and_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    tokenizer = hf.tokenizer(hf.Options(model="tiny"))
    start = time.perf_counter()
    spans = tokenizer.spans("memory 1 : chunk ? " * 26_500)
    assert time.perf_counter() - start < 20
    assert (len(spans), spans[-1]) == (132_500, (503_498, 503_499))
    assert capfd.readouterr() == ("", "")


def test_generation_is_quiet(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    policy(folder).generate([call("chunk"), call("chunk chunk")])
    assert capfd.readouterr() == ("", "")
