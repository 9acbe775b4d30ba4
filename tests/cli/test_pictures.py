"""`detect`: the stored detector of the report, on picture files."""

import numpy as np
import PIL.Image

from labutils import data
from labutils.cli.main import main


def test_detect_reads_a_picture_with_the_stored_detector(capsys, store, small_detector, tmp_path):
    assert main(["sweep", "--jobs", "1", "detector"]) == 0
    page = np.zeros((60, 90), np.uint8)
    page[10:38, 20:48] = data.load("digits").test.images[0, 0].numpy()
    PIL.Image.fromarray(page).save(tmp_path / "page.png")
    assert main(["detect", str(tmp_path / "page.png"), "--output", str(tmp_path / "out")]) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["page-digits.json", "page-digits.png"]
    assert "page.png: " in capsys.readouterr().out
    assert main(["detect", str(tmp_path / "gone.png"), "--output", str(tmp_path / "out")]) == 1
    assert "gone.png: there is no such file" in capsys.readouterr().err
    assert main(["detect"]) == 2
    assert "Name a picture" in capsys.readouterr().err
