"""Experiments against real processes that try to break the guarantee; see docs/guarantees.md."""
