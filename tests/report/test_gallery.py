"""The images of docs/index.html: which are shown, and that a layer of colours is the overlay."""

import base64
import io
import re

import numpy as np
import PIL.Image
import pytest
import torch

from labutils.cam import at_pixels, class_activation_maps, overlay
from labutils.config.classifier import RunConfig
from labutils.data import Split
from labutils.models.networks import build_model
from labutils.report import gallery as module
from labutils.report.gallery import gallery
from labutils.training.evaluation import predict

NAMES = [f"class {number}" for number in range(10)]


@pytest.fixture
def asked(monkeypatch):
    """A network and four images, of which it predicts the second wrongly."""
    monkeypatch.setattr(module, "RIGHT_SHOWN", 2)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 32, 32), generator=generator, dtype=torch.uint8)
    config = RunConfig(data="cifar10", model="resnet", depth=8, width=4, residual=True)
    network = build_model(config, (3, 32, 32), 10).eval()
    labels = predict(network, images).argmax(1)
    labels[1] = (labels[1] + 1) % 10
    return network, Split(images, labels)


def pixels(uri: str) -> np.ndarray:
    head, _, text = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.array(PIL.Image.open(io.BytesIO(base64.b64decode(text))))


def test_all_wrong_images_are_shown_and_the_first_of_the_others(asked):
    network, images = asked
    found = gallery(network, images, NAMES)
    assert found["counts"] == {"looked_at": 4, "right": 2, "wrong": 1}
    assert [(one["number"], one["right"]) for one in found["images"]] == [
        (0, True), (1, False), (2, True),
    ]  # fmt: skip
    probability = predict(network, images.images)
    for one in found["images"]:
        row = probability[one["number"]]
        assert one["prediction"] == f"{NAMES[row.argmax()]}, {100 * row.max():.2f} %"
        assert one["label"] == NAMES[images.labels[one["number"]]]
        picture = images.images[one["number"]].permute(1, 2, 0).numpy()
        assert np.array_equal(pixels(one["picture"]), picture)
        assert (one["label"] == one["prediction"].split(",")[0]) == one["right"]


@pytest.mark.parametrize("which", ["predicted", "true"])
def test_a_map_over_its_image_is_the_overlay_of_the_library(asked, which):
    network, images = asked
    one = gallery(network, images, NAMES)["images"][1]
    wanted = predict(network, images.images).argmax(1) if which == "predicted" else images.labels
    maps = class_activation_maps(network, images.images[1:2], class_idx=wanted[1:2])
    pixel_map = at_pixels(network, images.images[1:2], maps)[0].numpy()
    picture, layer = pixels(one["picture"]), pixels(one["maps"][which]["picture"])
    alpha = 0.6 * layer[..., 3:] / 255
    mixed = (1 - alpha) * picture + alpha * layer[..., :3]
    assert mixed == pytest.approx(overlay(picture, pixel_map, opacity=0.6).astype(float), abs=1.5)
    said = one["maps"][which]["said"]
    assert NAMES[wanted[1]] in said
    if pixel_map.max() > 0:
        row, column = np.unravel_index(pixel_map.argmax(), pixel_map.shape)
        left, right, top, bottom = map(int, re.findall(r"(?<!class )\b\d+", said)[:4])
        assert left <= column + 1 <= right and top <= row + 1 <= bottom
