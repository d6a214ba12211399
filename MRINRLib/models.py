"""Models that a panel can offer: those that come with MRINR and folders that a person chose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slicer.i18n import tr as _

from mrinr import bundles
from mrinr.bundles import Bundle
from mrinr.errors import InputError
from mrinr.provenance import ENHANCEMENT
from mrinr.synthesis import INPUTS
from mrinr.synthesis.choice import ANY_SUBSET, ORDER

AUTO = "auto"


class Models:
    """Model folders by key: a shipped model's name or the path of a folder; each is read and checked once."""

    def __init__(self) -> None:
        self._found: dict[str, Bundle] = {}
        self._problem = ""
        try:
            self.shipped = [bundle for bundle in bundles.shipped() if bundle.architecture in ORDER]
        except InputError as error:  # the panel has to open all the same
            self.shipped, self._problem = [], str(error)

    def bundle(self, key: str) -> Bundle:
        """The model of a key that is not 'auto'. Raises InputError when it is missing or damaged."""
        if key not in self._found:
            found = bundles.find(key)
            if found.architecture not in ORDER:
                raise InputError(
                    _("{model} finds brains and makes no sequence; choose another model.").format(model=key)
                )
            self._found[key] = found
        return self._found[key]

    def candidates(self, key: str) -> list[Bundle]:
        """What the key stands for: for 'auto' all that come with MRINR. Raises InputError as `bundle`."""
        return self.shipped if key == AUTO else [self.bundle(key)]

    def targets(self, key: str, inputs: Sequence[str]) -> list[str]:
        """The sequences that can be made from these inputs. Raises InputError as `bundle`."""
        offered = {target for bundle in self.candidates(key) for target in targetsOf(bundle, inputs)}
        return [name for name in INPUTS if name in offered]

    def chosen(self, key: str, inputs: Sequence[str], target: str) -> Bundle | None:
        """The model that will do it, as mrinr.synthesis.choice has it; None when none can."""
        able = [bundle for bundle in self.candidates(key) if target in targetsOf(bundle, inputs)]
        return min(able, key=lambda bundle: ORDER.index(bundle.architecture), default=None)

    def forFineTuning(self, inputs: Sequence[str], target: str) -> Bundle:
        """The model that 'auto' stands for where one is to learn. Raises InputError where none can."""
        able = [b for b in self.shipped if flexible(b) and target in targetsOf(b, inputs)]
        if not able:
            raise InputError(
                _("No model that comes with MRINR learns {target} from {inputs}; choose another.").format(
                    target=target or _("nothing"), inputs=", ".join(inputs) or _("nothing")
                )
            )
        return able[0]

    def needs(self, key: str) -> str:
        """A sentence that says what the models of a key make of which inputs."""
        if key == AUTO and self._problem:
            return self._problem
        parts = [
            (
                _("{model}: {targets} from any of {inputs}")
                if flexible(bundle)
                else _("{model}: {targets} from {inputs}")
            ).format(model=bundle.name, targets=", ".join(bundle.targets), inputs=", ".join(bundle.inputs))
            for bundle in self.candidates(key)
        ]
        return _("No model makes a missing sequence from these inputs ({needs}).").format(
            needs="; ".join(parts) or _("no model is installed")
        )


def flexible(bundle: Bundle) -> bool:
    """Whether a model does with some of its inputs."""
    return bundle.architecture in ANY_SUBSET


def targetsOf(bundle: Bundle, inputs: Sequence[str]) -> list[str]:
    """What a model can make of these inputs; with none given, what it can make at all."""
    have, needed = set(inputs), set(bundle.inputs)
    fits = not have or (have & needed if flexible(bundle) else needed <= have)
    return [target for target in bundle.targets if target not in have] if fits else []


def trainedOn(found: Iterable[Bundle]) -> str:
    """One line: what the models were trained on."""
    data = dict.fromkeys(bundle.facts["training"]["data"] for bundle in found)
    return _("Trained on: {data}").format(data="; ".join(data) or _("nothing; no model is installed"))


def notice(target: str) -> str:
    """What always stands beside a target that cannot be trusted; empty for the others."""
    return ENHANCEMENT if target == "T1ce" else ""
