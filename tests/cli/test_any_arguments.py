"""Any arguments whatever: a result, or an error of one line and exit code 1 or 2."""

from __future__ import annotations

import contextlib
import io
from dataclasses import fields, replace

import pytest
from command_line import SHORT
from fakes import fake_outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labutils.cli.main import main
from labutils.config import DistillConfig, RunConfig, TransferConfig
from labutils.models.networks import build_model
from labutils.report.experiments import EXPERIMENTS
from labutils.runs.store import RunError
from labutils.runs.sweep import SweepError

SWITCHES = ("--residual", "--unpadded", "--flip", "--alternating-flip", "--dry-run")
CHOICES = {
    "--data": "mnist digits shapes10",
    "--onto": "digits shapes20",
    "--model": "mlp convnet small-cnn cnn resnet strong",
    "--norm": "none batch",
    "--init": "default he zero-residual orthogonal lsuv looks-linear",
    "--activation": "relu leaky crelu",
    "--optimizer": "adam sgd muon",
    "--precision": "fp32 bf16 fp64",
    "--trained": "head last-block everything",
    "--kind": "svm ridge",
    "--of": "trained pixels",
    "--keep": "none fp16",
    "--experiment": "tiny",
    "--source": SHORT.id,
    "--profile": "quick full",
}
NUMBERS = "-1 0 1 2 3 4 8 14 16 28 29 64 9999 4294967296 1e400 nan 0.1 9223372036854775808".split()
# A terminal can pass on any letter but the first of all, bytes that are no UTF-8 included.
WORDS = st.text(st.characters(exclude_characters="\0"), max_size=8) | st.just("\udcff")


def names(kind: type, *others: str) -> list[str]:
    """The options of a configuration, and others."""
    return [f"--{field.name.replace('_', '-')}" for field in fields(kind)] + [*others]


OPTIONS = {
    ("train",): names(RunConfig, "--keep", "--log"),
    ("describe",): names(RunConfig),
    ("runs",): ["--experiment", "--data", "--model"],
    ("sweep",): ["tiny", "tiny", "--jobs", "--cluster", "--keep", "--dry-run"],
    ("notebooks",): ["--profile", "nothing.ipynb"],
    ("transfer", "probe"): (
        "--source --onto --kind --of --layers --side --labels-per-class --draw --jobs".split()
    ),
    ("transfer", "fine-tune"): names(TransferConfig, "--onto", "--keep"),
    ("transfer", "distill"): names(DistillConfig, "--keep"),
}


@st.composite
def arguments(draw, options: list[str]) -> list[str]:
    """Some options, most with a value that fits, some with any words."""
    found = []
    for option in draw(st.lists(st.sampled_from(options), max_size=4)):
        found.append(option)
        if draw(st.integers(0, 9)) == 9:
            found += draw(st.lists(WORDS | st.sampled_from(["9" * 5000]), max_size=2))
        elif option.startswith("--") and option not in SWITCHES:
            fitting = CHOICES.get(option, "").split() or NUMBERS
            found.append(draw(st.sampled_from(fitting)))
    return found


@pytest.fixture
def nothing_is_trained(store, monkeypatch, add_experiment) -> None:
    """One experiment, one stored network; what would take long ends in an error."""

    def refuse(*_, **__):
        raise RunError("trained")

    def sweep(*_, **__):
        raise SweepError("trained")

    for name in list(EXPERIMENTS):
        monkeypatch.delitem(EXPERIMENTS, name)
    add_experiment("tiny", [SHORT, replace(SHORT, seed=1)])
    monkeypatch.setattr("labutils.report.records.Experiment.question", "What is it?")
    model = build_model(SHORT, (1, 28, 28), 10)
    store.save(SHORT, fake_outcome(SHORT)._replace(model=model), "fp32")
    monkeypatch.setattr("labutils.runs.load.load_or_train", refuse)
    monkeypatch.setattr("labutils.transfer.probes.probe", refuse)
    monkeypatch.setattr("labutils.runs.sweep.run_sweep", sweep)
    monkeypatch.setattr("labutils.report.notebooks.run_notebook", lambda path, profile: path)


def said(given: list[str]) -> tuple[int, str, str]:
    """Exit code, and what a terminal shows that knows ASCII alone."""
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
        for _ in range(2)
    )
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(given)
        except SystemExit as end:
            code = end.code
    for page in (out, err):
        page.seek(0)
    return code, out.read(), err.read()


@pytest.mark.slow
@pytest.mark.parametrize("command", OPTIONS, ids=" ".join)
def test_a_result_or_an_error_of_one_line(nothing_is_trained, command):
    codes = set()

    @settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(arguments(OPTIONS[command]))
    def check(given):
        code, shown, complained = said([*command, *given])
        assert code in (0, 1, 2) and "Traceback" not in shown + complained
        assert bool(complained) == (code > 0)
        assert code != 1 or len(complained.splitlines()) == 1
        codes.add(code)

    check()
    assert 2 in codes and len(codes) > 1, "some are understood"
