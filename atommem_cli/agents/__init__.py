"""Memory agents, one file each: `build(options) -> episode.Agent`. One's own may begin with `Speaker`."""

from atommem_cli.agents._steps import Options, Speaker

__all__ = ["Options", "Speaker"]
