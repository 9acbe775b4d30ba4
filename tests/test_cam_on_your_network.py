"""The example of docs/cam-on-your-network.md: it is run as it stands, and does what it says."""

import re
import shutil
from pathlib import Path

import numpy as np
import torch

from labutils.cam import class_activation_maps, map_layers
from labutils.cam.placement import locate_cells, spread_evenly
from labutils.data.pictures import CAT, read_picture

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "cam-on-your-network.md").read_text()
[CODE] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_saves_the_overlay_of_a_photograph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(CAT, "photograph.jpg")  # whatever its name, it is read by its content
    torch.manual_seed(0)
    example = {}
    exec(CODE, example)
    photograph, drawn = example["photograph"], read_picture(Path("overlay.png"))
    assert drawn.shape == photograph.shape == (300, 451, 3)
    assert not np.array_equal(drawn, photograph)
    pixels = example["pixels"]
    assert pixels.max() > 0 and np.array_equal(drawn[pixels == 0], photograph[pixels == 0])

    network, images = example["network"], example["images"]
    layers = map_layers(network, images)
    assert example["maps"].layer == list(layers)[-1] == "layer4"
    assert layers["layer3"][1] > layers["layer4"][1]
    cam = class_activation_maps(network, images, method="cam").values
    ratio = example["maps"].values / cam
    ratio = ratio[cam > 0.01 * cam.max()]
    assert torch.allclose(ratio, ratio[0], rtol=1e-3), "one map, up to a factor"
    cells = locate_cells(network, images, "layer4")
    evenly = spread_evenly((7, 7), (224, 224))
    assert evenly.rows.offset - cells.rows.offset == 15.5 and cells.rows.stride == 32


def test_the_example_has_ten_lines_besides_its_imports():
    lines = [line for line in CODE.splitlines() if line and not re.match("from|import", line)]
    assert len(lines) <= 10
