"""The models that come with MRINR, or in folders: what there is, their cards, whether they are intact."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from mrinr import bundles
from mrinr.bundles import Bundle
from mrinr.commands.session import Session
from mrinr.errors import InputError

HELP = "list models, show their cards, check their hashes"
COLUMNS = ("name", "inputs", "targets", "size", "trained on")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=("list", "show", "verify"), default="list", help="(default: list)"
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME|FOLDER", help="one to show, any number to verify (default: all)"
    )


def run(args: argparse.Namespace, session: Session) -> None:
    if args.action == "list" and args.names:
        raise InputError("'mrinr models list' takes no names; use 'mrinr models show NAME'.")
    if args.action == "show" and len(args.names) != 1:
        raise InputError(
            f"'mrinr models show' shows one model, not {len(args.names)}; see 'mrinr models list'."
        )
    {"list": _list, "show": _show, "verify": _verify}[args.action](args.names, session)


def _list(names: Sequence[str], session: Session) -> None:
    found = bundles.shipped()
    session.facts = {"models": [_facts(bundle) for bundle in found]}
    rows = [COLUMNS, *(_row(bundle) for bundle in found)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _show(names: Sequence[str], session: Session) -> None:
    bundle = bundles.find(names[0])
    session.facts = {"models": [_facts(bundle)]}
    print(_printable(bundle.card))


def _verify(names: Sequence[str], session: Session) -> None:
    names = names or [bundle.name for bundle in bundles.shipped()]
    width = max(map(len, names), default=0)
    first: InputError | None = None
    session.facts = {"models": []}
    for name in names:
        session.context.check()
        try:
            bundle = bundles.find(name)
            network = bundle.network()
        except InputError as error:
            first = first or error
            print(f"{name:{width}}  {_printable(str(error))}")
            continue
        weights = sum(tensor.numel() for tensor in network.parameters())
        session.facts["models"].append(_facts(bundle))
        print(f"{name:{width}}  intact: {bundle.architecture}, {weights} weights, SHA-256 {bundle.sha256}")
    if first is not None:
        raise first


def _facts(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "folder": str(bundle.folder),
        "weights_sha256": bundle.sha256,
        "bytes": bundle.size,
        **bundle.facts,
    }


def _row(bundle: Bundle) -> tuple[str, ...]:
    return (
        bundle.name,
        " ".join(bundle.inputs),
        " ".join(bundle.targets),
        f"{bundle.size / 1e6:.1f} MB",
        " ".join(_printable(bundle.facts["training"]["data"]).split()),
    )


def _printable(text: str) -> str:
    """Without the control characters by which a foreign card could steer a terminal."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t")
