"""The example of docs/probe-your-images.md: it is run, on a folder of two colours."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import models

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "probe-your-images.md").read_text()
[CODE] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Noisy red pictures in one subfolder, blue ones in another; no weights are downloaded."""
    generator = np.random.default_rng(0)
    for channel, name in ((0, "red"), (2, "blue")):
        (tmp_path / "my-images" / name).mkdir(parents=True)
        for number in range(15):
            pixels = generator.integers(0, 60, (24, 32, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(tmp_path / "my-images" / name / f"{number}.png")
    resnet18 = models.resnet18
    monkeypatch.setattr(models, "resnet18", lambda weights: resnet18(weights=None))
    monkeypatch.chdir(tmp_path)


def test_the_example_is_ten_lines_and_tells_red_from_blue(folder, capsys):
    lines = [line for line in CODE.splitlines() if line and "import " not in line]
    assert len(lines) == 10
    names = {}
    exec(CODE, names)
    assert capsys.readouterr().out.startswith("100.0% of 6 test images are right [[0.0001, ")
    assert names["matrix"].shape == (30, 256 + 512)
    assert names["found"]["images"] == 18


def test_the_page_says_that_each_classifier_can_be_chosen():
    from labutils.transfer.probes import PROBES

    assert all(f'"{kind}"' in PAGE for kind in PROBES)
