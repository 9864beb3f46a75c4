"""A checkpoint that a full disk, a power cut or a copy has damaged is found, set aside, and not missed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import demos
import pytest
from commands import atommem, complaint

from atommem_cli.core.errors import MissingExtra, SourceError
from atommem_cli.models.loading import digest_of_files, weight_files
from atommem_cli.policies import hf
from atommem_cli.training import checkpoints, damage, sft

RECIPE = {"max_steps": 6, "save_steps": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    sft.train(demos.recipe("sft.holdout=0", **RECIPE), out)
    return out


@pytest.fixture
def stopped(trained: Path, tmp_path: Path) -> Path:
    """As if it had been killed after its last checkpoint."""
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    shutil.rmtree(out / "model")
    (out / "summary.json").unlink()
    return out


def emptied(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(b"") and None


def cut(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return change


def gone(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def filled(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


def zeroed(name: str) -> Callable[[Path], None]:
    """Blocks that a power cut left as zeros, the length as it was."""

    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
        (folder / name).write_bytes(data)

    return change


FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors", "trainer_state.json")
DAMAGES = [
    *((f"{how.__name__} {name}", how(name)) for name in FILES for how in (emptied, cut, gone)),
    ("zeroed optimizer.pt", zeroed("optimizer.pt")),
    ("a list as state", filled("trainer_state.json", "[]")),
    ("an empty state", filled("trainer_state.json", "{}")),
    ("text as config", filled("config.json", "{")),
    ("text as optimizer", filled("optimizer.pt", "zap")),
]


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "unmarked"])
@pytest.mark.parametrize("change", [change for _, change in DAMAGES], ids=[name for name, _ in DAMAGES])
def test_every_damage_is_found_and_the_one_before_is_taken(
    change: Callable[[Path], None], marked: bool, stopped: Path
) -> None:
    folder = stopped / "checkpoints"
    if not marked:  # as older versions left them
        for one in folder.glob("checkpoint-*"):
            (one / damage.MARK).unlink()
    assert damage.fault(folder / "checkpoint-6") is None
    change(folder / "checkpoint-6")
    begun = damage.begun(folder / "checkpoint-6")
    found, remarks = checkpoints.mend(stopped, best=False)
    assert found == folder / "checkpoint-4"
    assert not (folder / "checkpoint-6").exists()
    if begun:  # no more than a kill leaves
        assert not marked
        assert remarks == []
    else:
        assert (folder / "damaged-6").is_dir()
        [remark] = remarks
        assert remark.startswith(f"{folder / 'checkpoint-6'} is damaged (")
        assert remark.endswith("): going on from checkpoint-4")


def test_the_same_weights_come_out_and_the_user_is_told(stopped: Path, trained: Path) -> None:
    cut("optimizer.pt")(stopped / "checkpoints" / "checkpoint-6")
    emptied("model.safetensors")(stopped / "checkpoints" / "checkpoint-4")
    said: list[str] = []
    result = sft.train(demos.recipe("sft.holdout=0", **RECIPE), stopped, say=said.append)
    assert result["weights"] == digest_of_files(weight_files(str(trained / "model")))
    assert len(said) == 2
    assert all(one.endswith("going on from checkpoint-2") for one in said)


def test_without_a_whole_one_it_is_one_sentence(stopped: Path) -> None:
    for number in (2, 4, 6):
        cut("model.safetensors")(stopped / "checkpoints" / f"checkpoint-{number}")
    with pytest.raises(SourceError, match=r"no checkpoint is whole \(checkpoint-6: .*checkpoint-2: ") as caught:
        sft.train(demos.recipe("sft.holdout=0", **RECIPE), stopped)
    assert "\n" not in str(caught.value)
    assert len(list((stopped / "checkpoints").glob("checkpoint-*"))) == 3  # nothing is lost


def test_the_best_so_far_must_be_whole_too(tmp_path: Path) -> None:
    recipe = demos.recipe(**RECIPE)
    first = sft.train(recipe, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    state = json.loads((folder / "checkpoint-6" / "trainer_state.json").read_text())
    assert first["best_update"] == 6
    state["best_model_checkpoint"] = str(folder / "checkpoint-4")
    text = json.dumps(state)
    (folder / "checkpoint-6" / "trainer_state.json").write_text(text)
    (folder / "checkpoint-6" / damage.MARK).unlink()
    assert checkpoints.mend(tmp_path / "run", best=True)[0] == folder / "checkpoint-6"
    cut("model.safetensors")(folder / "checkpoint-4")
    found, remarks = checkpoints.mend(tmp_path / "run", best=True)
    assert found == folder / "checkpoint-2"
    assert "its best so far is checkpoint-4, and model.safetensors has" in remarks[0]


def test_the_command_says_it_and_goes_on(stopped: Path) -> None:
    emptied("optimizer.pt")(stopped / "checkpoints" / "checkpoint-6")
    (stopped / "demos.yaml").write_text(demos.recipe("sft.holdout=0", **RECIPE).dump())
    done = atommem("sft", "--recipe", "demos.yaml", "--out", ".", cwd=stopped)
    assert "checkpoint-6 is damaged (optimizer.pt has 0 bytes of" in done.stderr
    assert "Aborted" not in done.stderr
    for number in (2, 4, 6):
        emptied("optimizer.pt")(stopped / "checkpoints" / f"checkpoint-{number}")
    (stopped / "summary.json").unlink()
    assert "no checkpoint is whole" in complaint("sft", "--recipe", "demos.yaml", "--out", ".", cwd=stopped)


@pytest.mark.parametrize(
    "change",
    [
        cut("model.safetensors"),
        emptied("model.safetensors"),
        gone("model.safetensors"),
        gone("tokenizer.json"),
        emptied("tokenizer.json"),
        filled("tokenizer_config.json", "{"),
        filled("config.json", "[]"),
        filled("config.json", "{}"),
        emptied("config.json"),
        filled("generation_config.json", "{"),
        filled("generation_config.json", "[]"),
    ],
)
def test_a_damaged_model_folder_is_one_sentence(change: Callable[[Path], None], trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    change(tmp_path / "model")
    with pytest.raises(MissingExtra) as caught:
        hf.build(hf.Options(model=str(tmp_path / "model"), device="cpu"))
    assert str(tmp_path / "model") in str(caught.value)
    assert "\n" not in str(caught.value)
