"""Mutations: one attribute of an event made from another, as the configuration says."""
