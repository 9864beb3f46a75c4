"""HotpotQA (Yang et al. 2018), the distractor setting: two-hop questions over Wikipedia introductions."""

from __future__ import annotations

from functools import partial

from atommem_cli.data.files import Plan, Request
from atommem_cli.tasks import _haystack, _records, _sentences
from atommem_cli.tasks._haystack import Options
from atommem_cli.tasks._records import Layout

__all__ = ["LAYOUT", "Options", "build", "inputs"]

LAYOUT = Layout(
    name="hotpotqa",
    hub="hotpotqa/hotpot_qa",
    config="distractor",
    licence="CC BY-SA 4.0",
    schema=_sentences.SCHEMA,
    optional=_sentences.OPTIONAL,
    normal=_sentences.normal,
    read=partial(_sentences.read, joint=""),
    prefer="distractor",
)
inputs = partial(_records.inputs, LAYOUT)


def build(options: Options, request: Request) -> Plan:
    """The plan of one split; see `_haystack.build`."""
    return _haystack.build(LAYOUT, options, request)
