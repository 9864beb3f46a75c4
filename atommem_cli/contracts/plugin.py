"""The contract of a plug-in by its name or file, whatever its room: `atommem check ROOM NAME`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from atommem_cli.config import keys, plugins
from atommem_cli.config import recipe as recipes
from atommem_cli.config.modules import PluginModule
from atommem_cli.config.recipe import Recipe
from atommem_cli.contracts import agents, dialects, embedders, policies, promises, rewards, stores, tasks
from atommem_cli.contracts.promises import Verdict, insist
from atommem_cli.core.errors import UsageError, did_you_mean
from atommem_cli.data import sources
from atommem_cli.dialects import dialect, wording
from atommem_cli.scoring import rewards as named

ROOMS = (*plugins.ROOMS, named.ROOM, "dialects")
"""Whose contracts there are."""


def meant(word: str) -> str:
    """The room that a word means: its own name, or the section that names a plug-in of it, as `policy`.

    Raises:
        UsageError: there is no such room.
    """
    sections = {section: room for room, section in keys.WHERE.items() if section}
    room = sections.get(word, word)
    if room not in ROOMS:
        raise UsageError(f"{word}: no such room{did_you_mean(word, ROOMS)} (there are: {', '.join(ROOMS)})")
    return room


def names(room: str) -> list[str]:
    """Names of the plug-ins of a room, sorted: those that come with atommem, and those of installed packages."""
    match room:
        case "dialects":
            return wording.available()
        case named.ROOM:
            return named.available()
        case _:
            return plugins.available(room)


def look(
    room: str, name: str, *, recipe: str | None = None, changes: Sequence[str] = (), source: str | None = None
) -> Iterator[Verdict]:
    """Look at every promise of a plug-in; each verdict comes as soon as it is known.

    Args:
        room: as `meant` gives it.
        name: of the room, of an installed package, or the path of a file.
        recipe: for agents, policies, stores and embedders: one in which the plug-in stands; None is the default one.
        changes: keys of the plug-in, as `--set` takes them and `atommem options` prints them.
        source: for task sources: records, as `prepare --source` takes them.

    Raises:
        UsageError, MissingExtra, BackendError: there is no such plug-in, a key is wrong, or something outside fails.
    """
    section = keys.WHERE.get(room)
    for option, given, wanted in (
        ("--recipe", recipe, section),
        ("--set", changes, section is not None),
        ("--source", source, room == "tasks"),
    ):
        if given and not wanted:
            raise UsageError(f"{option}: is not for {room}, which have no use for it")
    match room:
        case "dialects":
            yield from promises.look(dialects.PROMISES, dialect.load(name))
        case named.ROOM:
            yield from _of_reward(name)
        case "tasks":
            module, options = sources.source_of(name, recipes.assignments(changes))
            yield from promises.look(KEYS, module)
            yield from promises.look(tasks.PROMISES, tasks.Source(module, options, source, "validation"))
        case _:
            chosen = recipes.load(recipe or recipes.DEFAULT, [f"{section}.name={json.dumps(name)}", *changes])
            yield from _of_recipe(room, chosen)


def _of_reward(name: str) -> Iterator[Verdict]:
    if name in named.OWN:
        yield from promises.look(rewards.PROMISES, named.of(name, rewards.judge))
        return
    module = named.module_of(name)
    found = list(promises.look(rewards.MODULE_PROMISES, module))
    yield from found
    if not any(verdict.broken for verdict in found):  # else there is nothing to build
        yield from promises.look(rewards.PROMISES, named.made(module, rewards.ask))


def _of_recipe(room: str, recipe: Recipe) -> Iterator[Verdict]:
    match room:
        case "agents":
            module, options = recipe.plugin("agent")
            yield from promises.look(KEYS, module)
            yield from promises.look(agents.PROMISES, module.build(options))
        case "embedders":
            maker, options = recipe.plugin("embedder")
            yield from promises.look(KEYS, maker)
            yield from promises.look(embedders.PROMISES, maker.build(options))
        case "stores":
            shelf, options = recipe.plugin("store")
            yield from promises.look(KEYS, shelf)
            if "least" in type(options).model_fields:  # promises are about all entries, near ones and far ones
                options = options.model_copy(update={"least": None})
            with closing(shelf.build(options)) as store:
                yield from promises.look(stores.PROMISES, store)
        case "policies":
            model, options = recipe.plugin("policy")
            yield from promises.look(KEYS, model)
            policy = model.build(options)
            yield from promises.look(policies.PROMISES, policy)
            yield from promises.look(policies.MODULE_PROMISES, policies.Module(model, options, policy))


def unknown_keys_are_errors(module: PluginModule) -> None:
    """`Options` refuses a key that it does not have, so that what is mistyped is not passed over."""
    options: type[BaseModel] = module.Options
    try:
        options.model_validate({"no_such_key": 1})
    except ValidationError as error:
        refused = any(one["type"] == "extra_forbidden" for one in error.errors())
    else:
        refused = False
    insist(refused, "Options takes a key that it does not have: derive it from `Section` instead of BaseModel")


KEYS: tuple[promises.Promise[PluginModule], ...] = (unknown_keys_are_errors,)
"""What the modules of all rooms promise."""

if TYPE_CHECKING:  # mypy looks whether the modules that come with atommem are whole
    from atommem_cli.agents import atommem, closed_book, full_context, memagent, rag
    from atommem_cli.config.modules import AgentModule, EmbedderModule, PolicyModule, StoreModule
    from atommem_cli.data.sources import SourceModule
    from atommem_cli.embedders import hashing, random
    from atommem_cli.embedders import hf as encoder
    from atommem_cli.embedders import openai_server as embedding_server
    from atommem_cli.policies import hf, openai_server, scripted
    from atommem_cli.stores import chroma, exact
    from atommem_cli.tasks import hotpotqa, locomo, longmemeval, musique, stream, twowiki

    _AGENTS: tuple[AgentModule, ...] = (atommem, closed_book, full_context, memagent, rag)
    _POLICIES: tuple[PolicyModule, ...] = (hf, openai_server, scripted)
    _STORES: tuple[StoreModule, ...] = (chroma, exact)
    _EMBEDDERS: tuple[EmbedderModule, ...] = (encoder, embedding_server, hashing, random)
    _TASKS: tuple[SourceModule, ...] = (hotpotqa, locomo, longmemeval, musique, stream, twowiki)
