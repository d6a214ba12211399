"""Synthesis of missing sequences: some of a patient's sequences in, another one out."""

from __future__ import annotations

INPUTS = ("T1", "T2", "FLAIR", "PD", "DWI", "T1ce")
