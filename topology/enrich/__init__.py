"""Enrichers: what else is known about an event. One file a kind."""
