"""Recipes: one YAML file says everything a command does; unknown keys are errors.

A section that names a plug-in (`policy: {name: hf, model: ...}`) takes that plug-in's own `Options` beside
`name`. After loading every default is written out, so a recipe's digest covers what really ran.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, overload

import yaml
from pydantic import AfterValidator, Field

from atommem_cli.config import plugins
from atommem_cli.config.modules import AgentModule, EmbedderModule, PolicyModule, StoreModule
from atommem_cli.config.overrides import JUDGE, ROOMS, Overrides, own_keys, plugin_sections
from atommem_cli.config.schema import (
    TRAINERS_OPERATIONAL,
    AblateSection,
    BudgetSection,
    ChunkSection,
    EvalSection,
    GrpoSection,
    LimitsSection,
    MemorySection,
    Plugin,
    Section,
    SftSection,
    StoreSection,
    TaskSection,
)
from atommem_cli.config.validation import checked
from atommem_cli.core import folders
from atommem_cli.core.calls import POLICY
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.errors import RecipeError, UsageError, did_you_mean
from atommem_cli.core.yaml_file import read_yaml

DEFAULT = "tiny"
"""The embedded default recipe."""


def _of_a_folder(name: str) -> str:
    if fault := folders.fault_of_name(name):
        raise ValueError(fault)
    return name


def _of_helpers(helpers: dict[str, Plugin]) -> dict[str, Plugin]:
    if wrong := [name for name in helpers if name == POLICY or not re.fullmatch("[a-z][a-z0-9_-]*", name)]:
        raise ValueError(f"{wrong[0]!r} cannot name a helper: small letters, digits, - and _, and not {POLICY}")
    return helpers


class Recipe(Section):
    """A whole recipe, resolved."""

    name: Annotated[str, AfterValidator(_of_a_folder)]
    """The file's name without ending; part of the default folders' names."""
    seed: int = 42
    """The paper's seed (AtomMem v3, Table 7)."""
    task: TaskSection = TaskSection()
    chunk: ChunkSection = ChunkSection()
    memory: MemorySection = MemorySection()
    limits: LimitsSection = LimitsSection()
    budget: BudgetSection = BudgetSection()
    agent: Plugin = Plugin(name="atommem")
    """Who reads and answers: `atommem options agents`."""
    policy: Plugin
    """The model: `atommem options policies`."""
    helpers: Annotated[dict[str, Plugin], AfterValidator(_of_helpers)] = Field({}, exclude_if=lambda value: not value)
    """Further models that an agent asks, by the names under which it does: `atommem options policies`. What they are
    shown and write counts in the budget."""
    store: StoreSection = StoreSection(name="chroma")
    """Where entries lie: `atommem options stores`."""
    embedder: Plugin
    """What makes vectors: `atommem options embedders`."""
    eval: EvalSection = EvalSection()
    sft: SftSection = SftSection()
    grpo: GrpoSection = GrpoSection()
    ablate: AblateSection = AblateSection()

    @property
    def content(self) -> dict[str, Any]:
        """Everything that can change a result of playing episodes, as JSON values."""
        content = self.model_dump(mode="json")
        del content["name"], content["eval"]["max_failed"], content["sft"], content["grpo"], content["ablate"]
        if not content["memory"]["drop"]:
            del content["memory"]["how"]  # then it means nothing
        if not content["store"].get("noise", {}).get("entries"):
            content["store"].pop("noise", None)  # likewise
        for _, room, section in plugin_sections(content):
            for key in plugins.operational(plugins.load(room, section["name"]).Options):
                section.pop(key, None)
        return content

    @property
    def digest(self) -> str:
        """sha256 over `content` without the number of tasks, which may grow; in hexadecimal digits."""
        return _sha256(_unlimited(self.content))

    def training(self, command: Literal["sft", "grpo"]) -> dict[str, Any]:
        """Everything that can change what a training command learns, as JSON values."""
        section: dict[str, Any] = getattr(self, command).model_dump(mode="json")
        section.pop("keep_rollouts", None)
        for keywords in (section["trainer"], (section.get("recall") or {}).get("trainer", {})):
            for key in TRAINERS_OPERATIONAL:
                keywords.pop(key, None)
        return {**self.content, command: section}

    def training_digest(self, command: Literal["sft", "grpo"]) -> str:
        """sha256 over `training`, which knows no `task.limit`; in hexadecimal digits."""
        return _sha256(_unlimited(self.training(command)))

    def dump(self) -> str:
        """The resolved recipe as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def build(self, section: Literal["agent", "policy", "store", "embedder"]) -> Any:
        """What a section names, made.

        Raises:
            UsageError, MissingExtra, BackendError: it cannot be; one sentence.
        """
        return build(ROOMS[section,], getattr(self, section))

    @overload
    def plugin(self, section: Literal["agent"]) -> tuple[AgentModule, Any]: ...
    @overload
    def plugin(self, section: Literal["policy"]) -> tuple[PolicyModule, Any]: ...
    @overload
    def plugin(self, section: Literal["store"]) -> tuple[StoreModule, Any]: ...
    @overload
    def plugin(self, section: Literal["embedder"]) -> tuple[EmbedderModule, Any]: ...
    def plugin(self, section: str) -> Any:
        """The module that a section names, and its checked options."""
        return plugin(ROOMS[(section,)], getattr(self, section))

    def tokenizer(self) -> Tokenizer:
        """What counts the policy's tokens; without weights.

        Raises:
            MissingExtra: the model is not there.
        """
        module, options = self.plugin("policy")
        return module.tokenizer(options)

    def window(self) -> int | None:
        """Tokens of prompt and reply together that the policy can take, without weights; None where it is not known.

        Raises:
            MissingExtra: the model is not there.
        """
        module, options = self.plugin("policy")
        return module.window(options)

    def changed(self, changes: Sequence[str]) -> Recipe:
        """This recipe with `section.key=value` overrides."""
        return resolve(self.model_dump(mode="json"), changes, origin=self.name)


def load(name: str | Path = DEFAULT, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe: a path, or the name of one that ships with atommem, from any folder.

    Args:
        changes: overrides as `section.key=value`, the value in YAML; `policy={name: hf, ...}` replaces a
            whole section.

    Raises:
        RecipeError: file, key and a suggestion in one sentence.
    """
    name = str(name)
    path = _find(name)
    content = read_yaml(path, name, RecipeError)
    if not isinstance(content, dict):
        raise RecipeError(f"{name}: a recipe is a mapping of sections")
    content.setdefault("name", path.stem)
    return resolve(content, changes, origin=name)


def shipped() -> dict[str, Path]:
    """The recipes that come with atommem, by name."""
    inside = Path(__file__).parents[1] / "recipes"
    folder = inside if inside.is_dir() else inside.parents[1] / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def resolve(content: dict[str, Any], changes: Sequence[str], *, origin: str) -> Recipe:
    """Apply overrides, check every key, write out every default.

    Args:
        origin: what the user knows the content by; errors about a key begin with it, or with the override that
            set the key.
    """
    overrides = Overrides(content, origin)
    for change in changes:
        overrides.apply(change)
    overrides.insist_plain()
    recipe = checked(Recipe, content, overrides, (), "")
    filled = recipe.model_dump(mode="json")
    for where, room, section in plugin_sections(filled):
        whole = _filled(room, section, overrides, where)
        section.clear()  # for the order of the plug-in's own keys, whichever the recipe has set
        section.update(whole)
    return Recipe.model_validate(filled)


def plugin(room: str, section: Plugin) -> tuple[ModuleType, Any]:
    """The module that a section names, and its checked options."""
    module = plugins.load(room, section.name)
    return module, module.Options.model_validate(section.model_extra or {})


def build(room: str, section: Plugin) -> Any:
    """What a section names, made.

    Raises:
        UsageError, MissingExtra, BackendError: it cannot be; one sentence.
    """
    module, options = plugin(room, section)
    return module.build(options)


def assignments(changes: Sequence[str]) -> dict[str, Any]:
    """`key=value` pairs as a mapping, values in YAML.

    Raises:
        RecipeError: a pair that is not one.
    """
    overrides = Overrides({}, "")
    for change in changes:
        overrides.apply(change)
    overrides.insist_plain()
    return overrides.content


def _unlimited(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "task": {key: value for key, value in content["task"].items() if key != "limit"}}


def _sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _filled(room: str, section: dict[str, Any], overrides: Overrides, where: tuple[str, ...]) -> dict[str, Any]:
    name = section["name"]
    try:
        module = plugins.load(room, name)
    except UsageError as error:
        raise RecipeError(f"{overrides.told((*where, 'name'))}: {error}") from None
    ours = {key: value for key, value in section.items() if key in own_keys(where)}
    given = {key: value for key, value in section.items() if key not in ours}
    if where == JUDGE and "temperature" in module.Options.model_fields:
        given = {"temperature": 0.0, **given}  # the same answers get the same verdicts
    options = checked(module.Options, given, overrides, where, name)
    return {**ours, **options.model_dump(mode="json")}


def _find(name: str) -> Path:
    known = shipped()
    path = Path(name)
    if path.is_file():
        return path
    stem = path.name.removesuffix(".yaml")  # a name may hold a dot: 0.6b
    if path.parent.name in ("", "recipes") and stem in known:
        return known[stem]
    suggestion = did_you_mean(stem, known)
    raise RecipeError(f"{name}: no such recipe{suggestion} (shipped: {', '.join(known)})")
