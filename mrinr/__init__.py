"""MRINR: the MR images that a person is missing, from the ones that they have.

Importing this package never imports torch; the functions that fit or run networks do so when called.
"""

__version__ = "0.1.0"
