"""Every error a caller may catch, as one tree.

    AtommemError                exit status 1
    ├── UsageError              2   what the user wrote is wrong; nothing was changed
    │   ├── RecipeError             a recipe file, key or value
    │   ├── SourceError             raw records or prepared tasks: missing, damaged, wrong schema
    │   ├── PluginError             a plug-in from outside fails where it must not
    │   └── RunMismatch             a run folder that belongs to another recipe, data or process
    ├── BackendError            3   something outside did not serve: a server, the store, the disk
    │   ├── MissingExtra            a package or model that is not installed
    │   └── Diverged                a model whose numbers are not finite, or a training that came to them
    └── Interrupted             130 stopped by the user; everything finished is on disk

What a model writes never raises: it becomes an `Outcome`. A failed model call ends one episode with
`StopReason.ERROR` and is recorded there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AtommemError(Exception):
    """Base of all errors; the message is one sentence that says what to do."""

    status = 1


class UsageError(AtommemError):
    """The command, an option or a file that the user gave is wrong."""

    status = 2


class RecipeError(UsageError):
    """A recipe cannot be read, or one of its keys or values is wrong."""


class SourceError(UsageError):
    """Records or tasks are missing, damaged or of another schema."""


class PluginError(UsageError):
    """A plug-in of the user's own raises what it must not: a fault in its code, told by file and line."""


class RunMismatch(UsageError):
    """A run folder was made from something else, or is in use by another process."""


class BackendError(AtommemError):
    """A server, a store or the disk did not do its part; the run can be continued."""

    status = 3


class MissingExtra(BackendError):
    """An optional package or a local model is not there; the message says how to get it."""


class Diverged(BackendError):
    """A loss, gradient, weight or logit is NaN or infinite: nothing good can be made of that model any more."""


class Interrupted(AtommemError):
    """The user stopped the run; what had finished is saved."""

    status = 130


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
