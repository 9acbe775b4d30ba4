"""Loggers: what the real libraries read back, resuming after a kill, and failures that stay small.

TensorBoard is read by its own EventAccumulator, W&B from the `.wandb` file that an upload would
read. Whatever needs a W&B server is tested up to the point where the server would answer.
"""

import json
import math
import os
import struct
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from labutils.cli import loggers
from labutils.cli.loggers import LoggerError, open_loggers

ROOT = Path(__file__).parents[2]
RUN = "digits-mlp4-s0-1a2b3c4d"
CONFIG = {"depth": 4, "dataset": "digits", "widths": (32, 32)}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """No key, no settings and no home folder of the person who runs the tests."""
    for variable in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    # Set by the module where it is not set already: here it must not outlive the test.
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def wandb():
    """W&B with its service process ended after the test, so that none is left to be collected."""
    library = pytest.importorskip("wandb")
    yield library
    library.teardown()


@pytest.fixture
def events():
    """TensorBoard's reader."""
    return pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def opened(folder, *names, **options):
    return open_loggers(names, run_name=RUN, config=CONFIG, folder=folder, **options)


def curves(events, folder):
    accumulator = events.EventAccumulator(str(folder / "tensorboard" / RUN)).Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def offline_parts(folder):
    """History of each offline start, oldest first."""
    paths = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert all(path.name == f"run-{RUN}.wandb" for path in paths)
    return [read_wandb(path) for path in paths]


def read_wandb(path):
    """History of a `.wandb` file: LevelDB's log format after a header of 7 bytes."""
    records = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    data, position, payload, history = path.read_bytes(), 7, b"", []
    while position + 7 <= len(data):
        left_in_block = 32768 - position % 32768
        if left_in_block < 7:
            position += left_in_block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if position + 7 + length > len(data):
            break  # still being written
        payload += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            record = records.Record.FromString(payload)
            payload = b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                names = [item.key or "/".join(item.nested_key) for item in items]
                values = [json.loads(item.value_json) for item in items]
                history.append(dict(zip(names, values, strict=True)))
    return history


def wait_for_next_second():
    """TensorBoard orders event files by the second of their creation, then by process."""
    time.sleep(1.01 - time.time() % 1)


def start_python(code, folder, **environment):
    """Start code in a process of its own, with `folder` as FOLDER and nothing to read from."""
    preamble = f"import pathlib\nFOLDER = pathlib.Path({str(folder)!r})\n"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", preamble + code],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_without_names_nothing_is_imported_and_nothing_is_written(tmp_path):
    code = """
import sys
from labutils.cli import loggers
with loggers.open_loggers([], run_name="any name", config={}, folder=FOLDER) as opened:
    opened.log(0, {"loss": 1.0})
assert not {"wandb", "tensorboard", "torch.utils.tensorboard"} & set(sys.modules)
"""
    with start_python(code, tmp_path / "logs") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert not (tmp_path / "logs").exists()


def test_an_unknown_name_is_answered_with_the_choices(tmp_path):
    with pytest.raises(
        LoggerError, match="'tensorbord': choose from tensorboard, wandb, wandb-off"
    ):
        with opened(tmp_path, "tensorbord"):
            pass


@pytest.mark.parametrize("name", loggers.LOGGERS)
def test_a_missing_library_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch, name):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    for module in ("tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LoggerError, match=rf"^{name} cannot start .*pip install '\.\[logging\]'"):
        with opened(tmp_path, name):
            pass


def test_a_folder_called_wandb_is_not_taken_for_the_library(tmp_path, monkeypatch):
    """Python imports `./wandb`, which W&B itself makes, as an empty package."""
    monkeypatch.setitem(sys.modules, "wandb", types.ModuleType("wandb"))
    with pytest.raises(LoggerError, match="installs it"):
        with opened(tmp_path, "wandb"):
            pass


def test_tensorboard_shows_each_epoch_while_the_run_goes_on(tmp_path, events):
    losses = [2.5, math.nan, math.inf, 0.1]
    with opened(tmp_path, "tensorboard") as ours:
        for epoch, loss in enumerate(losses):
            ours.log(epoch, {"val_loss": loss, "val_accuracy": epoch / 4})
            shown = curves(events, tmp_path)
            assert shown["val_accuracy"] == [(done, done / 4) for done in range(epoch + 1)]
    assert [loss for _, loss in shown["val_loss"]] == pytest.approx(losses, nan_ok=True)
    accumulator = events.EventAccumulator(str(tmp_path / "tensorboard" / RUN)).Reload()
    (event,) = accumulator.Tensors("config/text_summary")
    assert json.loads(event.tensor_proto.string_val[0]) == {**CONFIG, "widths": [32, 32]}


def test_tensorboard_hides_a_run_that_died_before_its_first_checkpoint(tmp_path, events):
    for loss in (3.0, 2.0):
        wait_for_next_second()
        with opened(tmp_path, "tensorboard") as ours:
            ours.log(0, {"loss": loss})
    assert curves(events, tmp_path) == {"loss": [(0, 2.0)]}


@pytest.mark.parametrize("name", ["tensorboard", "wandb-offline"])
def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path, wandb, events, name):
    folder = tmp_path / "file"
    folder.write_text("not a folder")
    with pytest.raises(LoggerError, match=f"{name} cannot start .*: is {folder} writable?"):
        with opened(folder, name):
            pass


def test_wandb_offline_reads_back_what_was_logged(tmp_path, wandb):
    losses = [2.5, math.nan, math.inf, 0.1]
    with wandb.init(mode="offline", dir=tmp_path / "own", settings={"console": "off"}) as own:
        with opened(tmp_path, "wandb-offline") as ours:
            for epoch, loss in enumerate(losses):
                ours.log(epoch, {"val_loss": loss})
        assert wandb.run is own, "a run of the caller is left alone"
    wandb.teardown()  # the service process writes the end of the file after `finish` returns
    (history,) = offline_parts(tmp_path)
    assert [row["_step"] for row in history] == [0, 1, 2, 3]
    assert [float(row["val_loss"]) for row in history] == pytest.approx(losses, nan_ok=True)


def test_a_killed_run_is_resumed_under_the_same_names(tmp_path, wandb, events, monkeypatch):
    code = f"""
import time
from labutils.cli.loggers import open_loggers
names = ["tensorboard", "wandb-offline"]
with open_loggers(names, run_name={RUN!r}, config={{}}, folder=FOLDER) as opened:
    for epoch in range(4):
        opened.log(epoch, {{"loss": 8.0 - epoch}})
    time.sleep(60)
"""
    folder = tmp_path / "logs"
    with monkeypatch.context() as patch:
        patch.delenv("WANDB_CACHE_DIR")
        with start_python(code, folder) as process:
            deadline = time.monotonic() + 60
            while [len(history) for history in offline_parts(folder)] != [4]:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            process.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]  # nothing is written elsewhere

    wait_for_next_second()
    with opened(folder, "tensorboard", "wandb-offline", first_epoch=2) as ours:
        for epoch in range(2, 5):
            ours.log(epoch, {"loss": 80.0 - epoch})
    wandb.teardown()
    assert curves(events, folder)["loss"] == [(0, 8), (1, 7), (2, 78), (3, 77), (4, 76)]
    before, after = offline_parts(folder)
    assert [(row["_step"], row["loss"]) for row in before] == [(0, 8), (1, 7), (2, 6), (3, 5)]
    assert [(row["_step"], row["loss"]) for row in after] == [(2, 78), (3, 77), (4, 76)]


class FakeRun:
    """A run as W&B resumes it online: `step` is one more than the last step it has."""

    def __init__(self, step):
        self.step, self.rows, self.finished = step, [], False

    def log(self, values, *, step, commit):
        assert commit and step >= self.step
        self.rows.append((step, values))
        self.step = step + 1

    def finish(self):
        self.finished = True


@pytest.fixture
def online(monkeypatch, wandb):
    """An account and a server that has epochs 0 to 2 of the run; the arguments it was asked with"""
    asked = {"run": FakeRun(step=3)}
    monkeypatch.setattr(wandb, "login", lambda **arguments: arguments["prompt"] is False)
    monkeypatch.setattr(wandb, "init", lambda **given: asked.update(given) or asked["run"])
    return asked


def test_wandb_online_resumes_by_id_and_never_repeats_an_epoch(tmp_path, online):
    with opened(tmp_path, "wandb", first_epoch=2) as ours:
        for epoch in range(2, 5):
            ours.log(epoch, {"loss": 1.0})
    assert [step for step, _ in online["run"].rows] == [3, 4] and online["run"].finished
    assert (online["mode"], online["id"], online["resume"]) == ("online", RUN, "allow")
    assert (online["dir"], online["config"]) == (tmp_path, CONFIG)


def test_an_error_in_the_training_closes_every_logger(tmp_path, online, events):
    with pytest.raises(KeyboardInterrupt):
        with opened(tmp_path, "tensorboard", "wandb") as ours:
            ours.log(3, {"loss": 1.0})
            raise KeyboardInterrupt
    assert online["run"].finished
    assert curves(events, tmp_path) == {"loss": [(3, 1.0)]}


def test_a_logger_that_cannot_start_closes_those_before_it(tmp_path, online, monkeypatch):
    monkeypatch.setattr(loggers, "TensorBoard", lambda *_: 1 / 0)
    with pytest.raises(LoggerError, match="tensorboard cannot start .ZeroDivisionError"):
        with opened(tmp_path, "wandb", "tensorboard"):
            pass
    assert online["run"].finished


@pytest.mark.parametrize("what", ["log", "finish"])
def test_a_logger_that_fails_is_reported_once_and_dropped(
    tmp_path, online, events, monkeypatch, what
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(online["run"], what, full)
    with pytest.warns(RuntimeWarning) as seen:
        with opened(tmp_path, "wandb", "tensorboard") as ours:
            ours.log(3, {"loss": 1.0})
            ours.log(4, {"loss": 0.5})
    (warning,) = seen
    assert str(warning.message).startswith("wandb failed and is dropped; the training goes on: OSE")
    assert curves(events, tmp_path) == {"loss": [(3, 1.0), (4, 0.5)]}


def test_wandb_without_a_key_says_what_to_do_at_once(tmp_path, wandb, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
    with pytest.raises(LoggerError, match="no API key.*`wandb login`.*'wandb-offline'"):
        with opened(tmp_path, "wandb"):
            pass


def test_wandb_without_a_server_gives_up(tmp_path):
    pytest.importorskip("wandb")
    code = """
from labutils.cli import loggers
loggers.WANDB_SECONDS = 1.0
try:
    with loggers.open_loggers(["wandb"], run_name="a", config={}, folder=FOLDER):
        pass
except loggers.LoggerError as error:
    print(error)
"""
    server = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    with start_python(code, tmp_path / "logs", **server) as process:
        output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert output.startswith("wandb cannot start") and "127.0.0.1:9" in output
    assert "'wandb-offline' needs neither" in output
