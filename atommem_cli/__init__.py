"""atommem: benchmark and train LLM agents whose memory is learned, atomic CRUD operations."""

__version__ = "0.1.0"
