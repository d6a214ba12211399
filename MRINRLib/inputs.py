"""Volumes as inputs of synthesis: which sequence each of them is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from mrinr.contrasts import contrast_of
from mrinr.errors import InputError
from mrinr.synthesis import INPUTS
from MRINRLib import dicom, nodes, provenance, study

NOT_USED = ""


@dataclass(frozen=True, eq=False)
class Input:
    """One row of the table of inputs: a volume node and its sequence, of `INPUTS` or not used."""

    node: Any
    role: str = NOT_USED


def inputFor(node: Any) -> Input:
    """A volume and what name and DICOM say of its sequence. Raises InputError for what is no volume."""
    check(node)
    role = contrast_of(node.GetName(), *dicom.descriptions(node)) or contrastByTimes(
        dicom.metaFromNode(node), dicom.scanningSequence(node)
    )
    if role == "T1" and dicom.hasContrastAgent(node):
        role = "T1ce"
    return Input(node, role if role in INPUTS else NOT_USED)


def contrastByTimes(times: Mapping[str, float], scanning: str) -> str:
    """What TR, TE and TI (ms) say where no name does; empty where they leave a doubt.

    scanning : DICOM's Scanning Sequence, such as "SE" or "GR\\IR"; echo-planar images are left out
    """
    repetition, echo, inversion = (times.get(key, 0.0) for key in ("TR", "TE", "TI"))
    if not echo or not repetition or "EP" in scanning:
        return NOT_USED
    if inversion:
        late = inversion >= 1500 and echo >= 60
        return "FLAIR" if late else "T1" if 500 <= inversion <= 1300 and echo <= 20 else NOT_USED
    if repetition >= 2000:
        return "T2" if echo >= 60 else "PD" if echo <= 30 else NOT_USED
    return "T1" if repetition <= 1000 and echo <= (10 if "GR" in scanning else 20) else NOT_USED


def check(node: Any) -> None:
    """Raise InputError for what cannot be an input.

    That is no volume, no voxels, labels, a non-linear transform, a volume that was itself synthesised.
    """
    nodes.geometryFromNode(node)
    study.refuseLabels(node)
    if provenance.isSynthetic(node):
        raise InputError(
            _("{volume} was made by synthesis; choose a volume that was measured.").format(
                volume=node.GetName()
            )
        )


def fillFromStudy(among: Sequence[Any] | None = None) -> list[Input]:
    """The volumes of the study that is shown, or those of `among`.

    One for each sequence, the finest, then those not used.
    """
    found = []
    for node in study.images() if among is None else among:
        try:
            found.append(inputFor(node))
        except InputError:
            continue  # geometry that nothing takes; adding it by hand says why
    finest: dict[str, Input] = {}
    for row in sorted(found, key=lambda row: _voxelVolume(row.node)):
        finest.setdefault(row.role, row)
    used = [finest[role] for role in INPUTS if role in finest]
    return used + [Input(row.node) for row in found if row not in used]


def _voxelVolume(node: Any) -> float:
    x, y, z = node.GetSpacing()
    return x * y * z


def withInput(rows: Sequence[Input], new: Input) -> list[Input]:
    """`rows` and a new one, which is not used where another row has its sequence.

    Raises InputError for a volume that is there already.
    """
    if any(row.node is new.node for row in rows):
        raise InputError(_("{volume} is in the list already.").format(volume=new.node.GetName()))
    taken = any(row.role == new.role for row in rows)
    return [*rows, Input(new.node) if taken else new]


def used(rows: Sequence[Input]) -> dict[str, Any]:
    """Nodes by sequence, in the order of the rows."""
    return {row.role: row.node for row in rows if row.role != NOT_USED}


def checkAll(inputs: Mapping[str, Any]) -> None:
    """Raise InputError, one sentence, unless these can be inputs of one synthesis."""
    if not isinstance(inputs, Mapping):
        raise InputError(_("Give the inputs as a dictionary: {{'T1': node, 'T2': node}}.").format())
    if not inputs:
        raise InputError(_("No input was given; choose a volume and say which sequence it is."))
    seen: list[Any] = []
    for name, node in inputs.items():
        if name not in INPUTS:
            raise InputError(
                _("'{name}' is not a known sequence; use {known}.").format(name=name, known=", ".join(INPUTS))
            )
        check(node)
        if any(node is other for other in seen):
            raise InputError(
                _("{volume} was given as two sequences; it can be only one.").format(volume=node.GetName())
            )
        seen.append(node)
