"""2WikiMultiHopQA (Ho et al. 2020): two- to four-hop questions; `prepare` takes its full name as well.

The hub's parquet version: others are loading scripts, which `datasets` no longer runs.
"""

from __future__ import annotations

from functools import partial

from atommem_cli.data.files import Plan, Request
from atommem_cli.tasks import _haystack, _records, _sentences
from atommem_cli.tasks._haystack import Options
from atommem_cli.tasks._records import Layout

__all__ = ["LAYOUT", "Options", "build", "inputs"]

LAYOUT = Layout(
    name="2wikimultihopqa",
    hub="framolfese/2WikiMultihopQA",
    config=None,
    licence="Apache-2.0; its text is Wikipedia, CC BY-SA",
    schema=_sentences.SCHEMA,
    optional=_sentences.OPTIONAL,
    normal=_sentences.normal,
    read=partial(_sentences.read, joint=" "),
    aliases="id_aliases.json",
)
inputs = partial(_records.inputs, LAYOUT)


def build(options: Options, request: Request) -> Plan:
    """The plan of one split; see `_haystack.build`."""
    return _haystack.build(LAYOUT, options, request)
