"""`cam`: a stored classifier asked about picture files."""

import json
import re
from typing import get_args

import numpy as np
import PIL.Image
import pytest
from fakes import fake_outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_arguments import GOOD, anew, assert_a_result_or_a_line, texts, written

from labutils.cam import METHODS
from labutils.cli.cam import MethodName, with_weights
from labutils.cli.main import main
from labutils.config.classifier import RunConfig
from labutils.config.data_sets import DATA_SETS
from labutils.config.fcn import FCNConfig
from labutils.data.pictures import CAT, PictureWarning
from labutils.models.networks import build_model

COLOUR = RunConfig(data="cifar10", model="resnet", depth=8, width=4, residual=True)
GREY = RunConfig(data="digits", model="small-cnn", width=4)


@pytest.fixture
def keep(store):
    """A function that stores a run, untrained, with its weights or not."""

    def stored(config, weights="fp32"):
        spec, outcome = DATA_SETS[config.data], fake_outcome(config)
        if isinstance(config, RunConfig):
            model = build_model(config, spec.image_shape, spec.classes)
            outcome = outcome._replace(model=model)
        return store.save(config, outcome, weights)

    return stored


@pytest.fixture
def strong(keep, add_experiment):
    """The report's strong network of seed 0, a small one."""
    add_experiment("strong", [COLOUR], keep="fp32")
    return keep(COLOUR)


def cam(*arguments):
    return main(["cam", *map(str, arguments)])


def test_the_strong_network_of_seed_0_is_asked(strong, root, capsys):
    output = root / "maps"
    assert cam(CAT, "--output", output) == 0
    assert sorted(path.name for path in output.iterdir()) == ["cat-cam.json", "cat-cam.png"]
    listed = json.loads((output / "cat-cam.json").read_text())
    assert listed["run"] == COLOUR.name and listed["picture"] == str(CAT)
    assert re.search(rf"cat.png: {listed['class']} \([\d.]+%\) \(", capsys.readouterr().out)


def test_every_option_is_passed_on(strong, keep, root):
    output = root / "maps"
    grey = keep(GREY)
    options = "--layer stem --class 3 --versus 5 --method layercam".split()
    assert cam(CAT, "--run", grey.config.id, *options, "--output", output) == 0
    listed = json.loads((output / "cat-cam.json").read_text())
    found = [listed[key] for key in ("run", "layer", "class", "method", "looked_at")]
    assert found == [GREY.name, "stem", "3", "layercam", {"width": 28, "height": 28}]
    assert listed["versus"]["class"] == "5"
    options = "--class frog --side own".split()
    assert cam(CAT, "--run", COLOUR.name, *options, "--output", output) == 0
    listed = json.loads((output / "cat-cam.json").read_text())
    assert listed["class"] == "frog" and listed["looked_at"] == {"width": 451, "height": 300}


def test_bad_files_are_named_and_the_rest_is_done(strong, root, capsys):
    text, cut, frames = root / "text.png", root / "cut.png", root / "frames.gif"
    text.write_text("no picture")
    cut.write_bytes(CAT.read_bytes()[:5_000])
    still = PIL.Image.fromarray(np.zeros((20, 30), np.uint8))
    still.save(frames, save_all=True, append_images=[PIL.Image.new("L", (30, 20), 255)])
    output = root / "maps"
    with pytest.warns(PictureWarning, match="frames.gif has several frames"):
        assert cam(text, root / "gone.png", cut, frames, CAT, "--output", output) == 1
    said = capsys.readouterr()
    assert [line.split(".png")[0].split("/")[-1] for line in said.err.splitlines()] == [
        "text", "gone", "cut"
    ]  # fmt: skip
    assert {path.name for path in output.glob("*.png")} == {"cat-cam.png", "frames-cam.png"}
    assert said.out.count("\n") == 2


def test_files_are_looked_for_before_a_network(root, capsys):
    assert cam(root / "gone.png", "--run", "nowhere", "--class", "cta") == 1
    assert capsys.readouterr().err == f"{root / 'gone.png'}: there is no such file\n"
    assert list(root.iterdir()) == []
    assert cam() == 2 and "Name a picture" in capsys.readouterr().err


def test_what_cannot_be_asked_is_said_with_what_can(strong, keep, capsys):
    bare = keep(RunConfig(data="digits", model="small-cnn", width=5), weights="none")
    for options, said in (
        (("--class", "cta"), "no class 'cta': give one of 0 airplane, 1 automobile"),
        (("--layer", "blokcs"), "no layer 'blokcs': .*blocks.2"),
        (("--run", "nowhere"), "run nowhere is not stored .*python -m labutils runs"),
        (("--run", bare.config.id), "keeps no weights: train it again"),
        (("--side", "3"), "side is 3: give 32"),
    ):
        assert cam(CAT, *options) == 1
        error = capsys.readouterr().err
        assert re.search(said, error) and error.count("\n") == 1


OPTIONS = ("--run", "--layer", "--class", "--versus", "--method", "--side")
asked = {"--run": COLOUR.name, "--layer": "blocks", "--class": "frog", "--method": "layercam"}
options = st.sampled_from(OPTIONS).flatmap(
    lambda name: st.tuples(st.just(name), texts | st.just(asked.get(name, "own")))
)


@settings(anew, max_examples=150)
@given(options=st.lists(options, max_size=3))
def test_no_argument_ends_in_a_traceback(options, strong, root):
    paths = written(root, {b"a.png": GOOD[0]})
    arguments = [f"{name}={value}" for name, value in options]
    assert_a_result_or_a_line("cam", *paths, *arguments, "--output", str(root / "maps"))


def test_help_says_which_runs_have_weights(strong, keep, store, capsys):
    keep(GREY)
    keep(RunConfig(data="digits", model="small-cnn", width=5), weights="none")
    keep(RunConfig(data="digits", width=5))  # has no maps
    keep(FCNConfig(data="digits"))
    assert set(with_weights()) == {COLOUR.name, GREY.name}
    with pytest.raises(SystemExit):
        cam("-h")
    page = re.sub(r"[│\s]", "", capsys.readouterr().out)
    assert COLOUR.name in page and GREY.name in page
    (store.folder / GREY.name / "config.json").write_text("[1")
    assert GREY.name in with_weights(), "asking for it says what is wrong"


def test_the_methods_are_those_of_the_package():
    assert get_args(MethodName) == tuple(METHODS)
