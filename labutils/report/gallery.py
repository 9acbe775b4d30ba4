"""The gallery of docs/index.html: test images and what speaks for a class."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
from torch import Tensor, nn

from labutils.cam import at_pixels, class_activation_maps
from labutils.cam.localisation import warmest_box
from labutils.cam.overlay import colours, relative
from labutils.data import Split
from labutils.report.statistics import percent
from labutils.training.evaluation import predict

RIGHT_SHOWN = 24  # of the images that are predicted rightly


def gallery(network: nn.Module, test: Split, names: Sequence[str]) -> dict[str, Any]:
    """All images that a network predicts wrongly and the first of the others, with their maps.

    Returns:
        `counts`: of the images looked at and shown. `images`: each with what the network says of
        it, its picture, and its maps of the predicted and of the true class.
    """
    probability, predicted = predict(network, test.images).max(1)
    is_right = predicted == test.labels
    kept = is_right.nonzero().flatten()[:RIGHT_SHOWN].tolist()
    wrong = (~is_right).nonzero().flatten().tolist()
    shown = sorted(kept + wrong)
    images = test.images[shown]
    classes = {"predicted": predicted[shown], "true": test.labels[shown]}
    maps = {which: _maps(network, images, of, names) for which, of in classes.items()}
    return {
        "counts": {"looked_at": len(test), "right": len(kept), "wrong": len(wrong)},
        "images": [
            {
                "number": number,
                "right": number in kept,
                "label": names[test.labels[number]],
                "prediction": f"{names[predicted[number]]}, {percent(probability[number].item())}",
                "picture": _uri(image.permute(1, 2, 0).numpy()),
                "maps": {which: found[place] for which, found in maps.items()},
            }
            for place, (number, image) in enumerate(zip(shown, images, strict=True))
        ],
    }


def _maps(
    network: nn.Module, images: Tensor, classes: Tensor, names: Sequence[str]
) -> list[dict[str, str]]:
    """Each map as a picture, transparent where it is 0, and in words."""
    maps = class_activation_maps(network, images, class_idx=classes)
    found = []
    for label, pixel_map in zip(classes, at_pixels(network, images, maps).numpy(), strict=True):
        level = (255 * relative(pixel_map)).round().astype(np.uint8)
        said = f"Nothing speaks for {names[label]}"
        if box := warmest_box(pixel_map):
            left, top, right, bottom = box
            said = (
                f"What speaks for {names[label]} is strongest in columns {left + 1} to {right}, "
                f"rows {top + 1} to {bottom}, of {len(level)}"
            )
        found.append({"said": said, "picture": _uri(np.dstack([colours(pixel_map), level]))})
    return found


def _uri(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
