"""Packages that only some configurations need (pyproject.toml, optional-dependencies)."""

import sys


def missing(name: str) -> str:
    """What to do where the packages of an extra are not there.

    With the pip of this environment, which has Northbound already: any other one would look for a
    package of that name on an index, where there is none of ours.
    """
    command = f"{sys.executable} -m pip install 'northbound[{name}]'"
    return f"needs the package extra {name}; install it with: {command}"
