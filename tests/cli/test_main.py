"""The command line as a whole: its help, what it cannot understand, how errors end it."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from command_line import REPOSITORY, TRAIN_SHORT, start

from labutils.cli import app
from labutils.cli.main import main
from labutils.config.classifier import FAMILIES, RunConfig
from labutils.config.data_sets import DATA_SETS
from labutils.data import DataError
from labutils.report.experiments import EXPERIMENTS
from labutils.runs import store
from labutils.runs.store import RunError
from labutils.training.inputs import TrainingError

COMMANDS = (
    "train", "transfer", "sweep", "runs", "data", "detect", "cam", "describe", "notebooks",
)  # fmt: skip
TASKS = [("transfer", task) for task in ("probe", "fine-tune", "distill")]


def usage_error(capsys, *arguments: str) -> str:
    """What the command line says to arguments that it cannot understand."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    return plain(capsys.readouterr().err)


@functools.cache
def help_of(*command: str) -> str:
    page = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(page), pytest.raises(SystemExit) as end:
        main([*command, "-h"])
    assert end.value.code == 0
    page.seek(0)
    return page.read()


def plain(text: str) -> str:
    """The words of a help page, without its boxes and line breaks."""
    return " ".join(re.sub("[╭╮╰╯─│]", " ", text).split())


# Help


def test_help_names_every_command():
    assert all(re.search(rf"• {command} +[A-Z]", help_of()) for command in COMMANDS)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), *TASKS])
def test_help_is_readable(command):
    page = help_of(*command)
    lines = page.splitlines()
    if not command:  # all of them in one word, which cannot be broken
        lines[0] = lines[0].partition("{")[0]
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in page
    assert not re.search(r"None|True|False|\(default: \)", page)


DEFAULTS = {
    "gradient_epochs": "none",
    "depth": ", ".join(f"{name} {FAMILIES[name].depth}" for name in ("mlp", "convnet", "resnet")),
    "width": ", ".join(f"{name} {FAMILIES[name].width}" for name in ("mlp", "convnet", "resnet")),
    "norm": "batch for cnn and resnet",
    "dropout": f"{FAMILIES['cnn'].dropout} for cnn, 0 for the rest",
    "patience": "never",
}


@pytest.mark.parametrize("field", fields(RunConfig), ids=lambda field: field.name)
def test_every_option_of_a_run_is_explained_with_its_default(field):
    option = "--" + field.name.replace("_", "-")
    page = plain(help_of("train"))
    found = re.search(rf"{option} (\[.*?\]\] |\S+ )?([A-Za-z].+?) \(default: (.+?)\)( --|$)", page)
    assert found, f"{option} is not explained"
    plainly = "off" if field.default is False else str(field.default)
    assert found[3] == DEFAULTS.get(field.name, plainly)


def test_help_and_usage_errors_come_without_torch():
    """They come at once: torch takes seconds to import."""
    code = (
        "import sys; from labutils.cli.main import main\n"
        "for arguments in (['-h'], *([name, '-h'] for name in sys.argv[1:]), ['trian']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit: pass\n"
        "print([name for name in ('torch', 'pandas', 'matplotlib') if name in sys.modules],"
        " file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *COMMANDS]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_keep_is_what_runs_knows():
    assert app.Keep == store.Keep


# Arguments that cannot be understood, and errors


def test_a_misspelt_option_is_corrected(capsys):
    assert "Perhaps you meant: --depth INT" in usage_error(capsys, "train", "--deth", "5")


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        ("", COMMANDS),
        ("trian", COMMANDS),
        ("train --model vgg", FAMILIES),
        ("train --data imagenet", DATA_SETS),
        ("train --keep int8", ("none", "fp32", "fp16")),
        ("train --log comet", ("tensorboard", "wandb", "wandb-offline")),
        ("data imagenet", DATA_SETS),
        ("runs --model vgg", FAMILIES),
    ],
)
def test_an_unknown_name_lists_the_choices(capsys, arguments, choices):
    message = usage_error(capsys, *arguments.split())
    assert all(choice in message for choice in choices)


def test_a_configuration_that_cannot_be_run_is_explained(capsys):
    assert main(["train", "--depth", "5"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("depth 5 is not 2 + 2 x blocks for mlp")
    assert said.err.count("\n") == 1 and not said.out


@pytest.mark.parametrize("command", ["train", "sweep mnist-depth", "runs"])
def test_an_unknown_profile_is_explained(capsys, monkeypatch, command):
    monkeypatch.setenv("LAB_PROFILE", "fast")
    assert main(command.split()) == 1
    assert capsys.readouterr().err == (
        "LAB_PROFILE is 'fast': set it to full (the default) or quick\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        DataError("no network"),
        RunError("damaged"),
        TrainingError("no images"),
        PermissionError(13, "Permission denied", "/trained_models"),
    ],
)
def test_an_error_is_its_message_alone(capsys, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("labutils.runs.load.load_or_train", fail)
    assert main(TRAIN_SHORT) == 1
    assert capsys.readouterr().err == f"{error}\n"


def test_a_mistake_in_the_program_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("labutils.runs.load.load_or_train", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(TRAIN_SHORT)


def test_a_closed_pipe_is_no_error(root):
    reader, writer = os.pipe()
    os.close(reader)
    with start("runs", "-h", root=root, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        assert (process.stderr.read(), process.wait()) == ("", 141)


@pytest.mark.parametrize("stream", [1, 2])
def test_a_closed_output_is_no_error(root, stream):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    close = functools.partial(os.close, stream)
    with start("runs", "--data", "digits", root=root, preexec_fn=close, **pipes) as process:
        out, err = process.communicate()
    assert process.returncode == 0 and err == ""
    assert out.startswith("" if stream == 1 else "No run is stored in")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_what_does_not_fit_into_memory_is_said(capsys, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("labutils.models.networks.build_model", fail)
    assert main(["describe"]) == 1
    assert capsys.readouterr().err == "Out of memory: give a smaller network or batch.\n"


@pytest.mark.parametrize("command", ["sweep", "runs --experiment"])
def test_an_unknown_experiment_lists_those_that_there_are(capsys, command):
    assert main([*command.split(), "mnist-dept"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("no experiment 'mnist-dept': choose one of mnist-width, ")
    assert all(name in said.err for name in EXPERIMENTS) and not said.out
