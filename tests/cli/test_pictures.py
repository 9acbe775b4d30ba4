"""`detect`: the stored detector of the report, on picture files."""

import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_arguments import GOOD, anew, assert_a_result_or_a_line, contents, names, texts, written

from labutils import data
from labutils.cli.main import main
from labutils.config.fcn import FCNConfig
from labutils.data.picture_files import Seen
from labutils.fcn.networks import build_detector
from labutils.fcn.pictures import annotate, as_json, read_page


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


@pytest.fixture
def untrained(monkeypatch):
    """In place of the report's detector one that names anything."""
    network = build_detector(FCNConfig(width=4)).eval()

    def look(picture):
        found = read_page(network, picture, threshold=0.1)
        return Seen(annotate(picture, found), {"digits": as_json(found)}, found.text)

    monkeypatch.setattr("labutils.report.experiments.load", lambda *_, **__: [None])
    monkeypatch.setattr("labutils.fcn.files.digit_finder", lambda run: look)


@settings(anew, max_examples=100)
@given(files=st.dictionaries(names, contents, min_size=1, max_size=3))
def test_no_file_ends_in_a_traceback(files, untrained):
    with tempfile.TemporaryDirectory() as folder:
        output, paths = Path(folder, "of this name there is no picture"), written(folder, files)
        results = assert_a_result_or_a_line("detect", "--output", str(output), "--", *paths)
        assert results >= sum(content in GOOD for content in files.values())
        assert results == (len(list(output.iterdir())) // 2 if output.exists() else 0)


@settings(anew, max_examples=150)
@given(arguments=st.lists(st.one_of(texts, st.just("--output")), max_size=4))
def test_no_argument_ends_in_a_traceback(arguments, untrained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_a_result_or_a_line("detect", *arguments)
