"""The two exceptions that carry a sentence to the person in front of the screen."""

from __future__ import annotations


class InputError(ValueError):
    """What is wrong with which file, node or setting, and what to do, in one sentence."""


class Cancelled(Exception):  # noqa: N818  (it is no error: the person asked for it)
    """Raised inside a running method after the person pressed Cancel."""
