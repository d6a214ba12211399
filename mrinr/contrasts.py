"""Which contrast a scan has, from what people call it."""

from __future__ import annotations

import re

# Tried in this order on a name in lower case whose words are separated by single spaces.
_RULES = (
    ("DIR", r"\bdir\b|double inversion"),
    ("T1FLAIR", r"\bt1w? ?flair|\bflair ?t1"),
    ("FLAIR", r"flair|\btirm dark|dark ?fluid"),
    (
        "T1ce",
        r"\bt1w?(ce|c|gd|post|km)\b|\bt1.*\b(ce|gd|gad\w*|post|contrast|km)\b|\b(ce|gd|gad\w*|post)\b.*\bt1",
    ),
    ("SWI", r"\bswi\b"),
    ("T2star", r"\bt2 ?(star\w*|s)\b"),
    ("ADC", r"\badc\b"),
    ("DWI", r"\bdwi\b|\btrace\w*\b|\bdiff\w*\b"),
    ("T2", r"\bt2"),
    ("T1", r"\bt1|mp2?rage|\bbravo\b|\bspgr\b|\btfl\b"),
    ("PD", r"\bpdw?\b|proton"),
)
# What the public data sets say in place of usual names.
_ALIASES = {"t2f": "flair", "3dflair": "flair", "3dt1": "t1", "dp": "pd", "gado": "t1ce", "3dt1gado": "t1ce"}
_LESIONS = {"lesion", "lesions", "seg", "ot", "consensus"}
_MASKS = {"mask", "brainmask"}
_NO_SCAN = re.compile(r"map|labels?|aseg|aparc|prob|localizer|scout|survey")  # T1map is a map of T1 times
VISIT = re.compile(r"(visit|session|ses|timepoint|tp|time|exam|scan)[-_]?\d+", re.IGNORECASE)


def contrast_of(*names: str | None) -> str | None:
    """The contrast that the first telling name says ('sub-01_T1w' and 'ax_mprage' are T1), or None."""
    for name in names:
        words = re.sub(r"[^a-z0-9]+", " ", (name or "").lower()).strip()
        for contrast, pattern in _RULES:
            if re.search(pattern, words):
                return contrast
    return None


def scan_of(name: str) -> str | None:
    """What a file is by its name without the ending: a contrast, "brain" or "lesions" (masks), or None."""
    words = re.sub(r"[^a-z0-9]+", " ", name.lower()).split()
    if any(_NO_SCAN.search(word) for word in words):
        return None
    if _LESIONS & set(words):
        return "lesions"
    if _MASKS & set(words) or words == ["brain"]:
        return "brain"
    return contrast_of(" ".join(_ALIASES.get(word, word) for word in words))
