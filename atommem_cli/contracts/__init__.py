"""Contracts of the plug-in rooms: functions that insist on all that a room promises, for tests of one's own."""

from atommem_cli.contracts import agents, dialects, embedders, policies, rewards, stores, tasks
from atommem_cli.contracts.promises import ContractBroken

__all__ = ["ContractBroken", "agents", "dialects", "embedders", "policies", "rewards", "stores", "tasks"]
