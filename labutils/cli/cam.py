"""`labutils cam`: what in a picture speaks for a class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from labutils.cli.app import APP, default_hint, several, usage_error
from labutils.config.profiles import profile

if TYPE_CHECKING:
    from labutils.data.picture_files import Look

# The keys of `cam.METHODS`, which takes seconds to import.
MethodName = Literal["cam", "grad-cam", "grad-cam++", "hirescam", "layercam", "xgrad-cam"]
OF_TRAINING = (
    "that of its training images: it knows things of that size. Networks without global average "
    "pooling at the end have no other, and pictures are stretched to it"
)


def with_weights() -> list[str]:
    """Names of the stored classifiers of images that keep their weights."""
    names = []
    for weights in sorted(profile().runs.glob("[!.]*-*/weights.safetensors")):
        try:
            config = json.loads((weights.parent / "config.json").read_text())
            convolutional = config["kind"] != "fcn" and config["model"] != "mlp"
        except (OSError, ValueError, KeyError, TypeError):  # asking for it says what is wrong
            convolutional = True
        if convolutional:
            names.append(weights.parent.name)
    return names


def _runs_hint(_: str) -> str:
    stored = ", ".join(with_weights()) or "none"
    return f"(default: the strong network of seed 0; those with weights: {stored})"


@APP.command
def cam(
    images: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], several("IMAGE ...", "one or more")
    ] = (),
    run: Annotated[str, tyro.conf.arg(metavar="ID", help_behavior_hint=_runs_hint)] = "",
    layer: Annotated[str, tyro.conf.arg(metavar="NAME"), default_hint("the last with a map")] = "",
    class_name: Annotated[
        str, tyro.conf.arg(name="class", metavar="NAME"), default_hint("the predicted one")
    ] = "",
    versus: Annotated[str, tyro.conf.arg(metavar="NAME"), default_hint("none")] = "",
    method: MethodName = "grad-cam",
    side: Annotated[
        int | Literal["own"] | None, tyro.conf.arg(metavar="PIXELS"), default_hint(OF_TRAINING)
    ] = None,
    output: Annotated[Path, default_hint("build/cams")] = Path("build/cams"),
) -> int:
    """Show what in pictures speaks for a class, as a trained network sees it.

    Args:
        images: Pictures in any format that Pillow knows; those of over 4 million pixels are shrunk.
        run: Name or id of a stored classifier; those of digits see pictures as light on black.
        layer: Layer whose map is shown; a wrong name gets the list.
        class_name: Class by name or number; a wrong one gets the list.
        versus: Class that it is set against: what speaks for the one and not the other.
        method: How the map is made.
        side: Shorter side at which the network looks at pictures; "own" for that of each picture.
        output: Folder for each picture's map, and for class, probability and box as JSON.
    """
    if not images:
        return usage_error("cam", "Name a picture.")
    which = profile()
    from labutils.data.picture_files import look_at_files

    def prepare() -> Look:
        from labutils.cam.files import MapFinder
        from labutils.report.experiments import load
        from labutils.runs.store import Store

        asked = Store.of(which).load_id(run.rpartition("-")[2]) if run else None
        question = {"method": method, "class_name": class_name, "versus": versus, "side": side}
        return MapFinder(asked or load("strong", which, seed=0)[0], layer=layer, **question)

    return look_at_files(images, output, "cam", prepare)
