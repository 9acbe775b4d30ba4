"""Loggers: what the real libraries read back, resuming after a kill, and failures that stay small.

TensorBoard is read by its own EventAccumulator, W&B from the `.wandb` file that an upload would
read. Whatever needs a W&B server is tested up to the point where the server would answer.
"""

import json
import math
import os
import re
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from labutils.training import loggers
from labutils.training.loggers import LOGGERS, LoggerError, open_loggers

ROOT = Path(__file__).parents[2]
RUN = "digits-mlp4-s0-1a2b3c4d"
PREAMBLE = "import os, pathlib\nFOLDER = pathlib.Path(os.environ['FOLDER'])\n"
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


def read_tensorboard(folder, run=RUN):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    accumulator = accumulators.EventAccumulator(str(folder / "tensorboard" / run)).Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def wait_for_next_second():
    """TensorBoard orders event files by the second of their creation, then by process."""
    time.sleep(1.01 - time.time() % 1)


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
                history.append(
                    {
                        item.key or "/".join(item.nested_key): json.loads(item.value_json)
                        for item in record.history.item
                    }
                )
    return history


def offline_parts(folder):
    """History of each offline start, oldest first."""
    paths = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert all(path.name == f"run-{RUN}.wandb" for path in paths)
    return [read_wandb(path) for path in paths]


def start_python(code, folder, **environment):
    """Start code in a process of its own, with `folder` as FOLDER and nothing to read from."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PREAMBLE + code],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FOLDER": str(folder), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_python(code, folder, **environment):
    """Run code to its end and return what it printed; its end must be a good one."""
    with start_python(code, folder, **environment) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output


def test_without_names_nothing_is_imported_and_nothing_is_written(tmp_path):
    code = """
import sys
from labutils.loggers import open_loggers
with open_loggers([], run_name="any name", config={}, folder=FOLDER) as opened:
    opened.log(0, {"loss": 1.0})
assert not {"wandb", "tensorboard", "torch"} & set(sys.modules)
"""
    run_python(code, tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_an_unknown_name_is_answered_with_the_choices(tmp_path):
    assert LOGGERS == ("tensorboard", "wandb", "wandb-offline")
    with pytest.raises(ValueError, match="'tensorbord': choose from tensorboard, wandb, wandb-off"):
        with open_loggers(
            ["tensorboard", "tensorbord"], run_name=RUN, config=CONFIG, folder=tmp_path
        ):
            pass
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.parametrize("run_name", ["", "a/b", "..", "a:b", "a b", "naïve"])
def test_a_run_name_must_suit_a_folder_and_an_id(tmp_path, run_name):
    with pytest.raises(ValueError, match="cannot name a folder"):
        with open_loggers(["tensorboard"], run_name=run_name, config=CONFIG, folder=tmp_path):
            pass


@pytest.mark.parametrize(
    ("name", "module"),
    [("tensorboard", "tensorboard"), ("wandb", "wandb"), ("wandb-offline", "wandb")],
)
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    tmp_path, monkeypatch, name, module
):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LoggerError, match=r"not installed .*pip install '\.\[logging\]'"):
        with open_loggers([name], run_name=RUN, config=CONFIG, folder=tmp_path):
            pass


def test_a_folder_called_wandb_is_not_taken_for_the_library(tmp_path):
    """Python imports `./wandb`, which W&B itself makes, as an empty package."""
    code = """
import sys, types
sys.modules["wandb"] = types.ModuleType("wandb")
from labutils.loggers import LoggerError, open_loggers
try:
    with open_loggers(["wandb"], run_name="a", config={}, folder=FOLDER):
        pass
except LoggerError as error:
    print(error)
"""
    assert "Weights & Biases is not installed" in run_python(code, tmp_path / "logs")


def test_tensorboard_reads_back_what_was_logged(tmp_path):
    pytest.importorskip("tensorboard")
    losses = [2.5, math.nan, math.inf, 0.1]
    with open_loggers(["tensorboard"], run_name=RUN, config=CONFIG, folder=tmp_path) as opened:
        for epoch, loss in enumerate(losses):
            opened.log(epoch, {"val_loss": loss, "val_accuracy": epoch / 4})
    curves = read_tensorboard(tmp_path)
    assert set(curves) == {"val_loss", "val_accuracy"}
    assert curves["val_accuracy"] == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]
    assert [epoch for epoch, _ in curves["val_loss"]] == [0, 1, 2, 3]
    assert [loss for _, loss in curves["val_loss"]] == pytest.approx(losses, nan_ok=True)


def test_tensorboard_shows_each_epoch_while_the_run_goes_on(tmp_path):
    pytest.importorskip("tensorboard")
    with open_loggers(["tensorboard"], run_name=RUN, config=CONFIG, folder=tmp_path) as opened:
        for epoch in range(3):
            opened.log(epoch, {"val_loss": 0.5})
            assert read_tensorboard(tmp_path)["val_loss"][-1] == (epoch, 0.5)


def test_tensorboard_keeps_the_configuration(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with open_loggers(["tensorboard"], run_name=RUN, config=CONFIG, folder=tmp_path):
        pass
    accumulator = EventAccumulator(str(tmp_path / "tensorboard" / RUN)).Reload()
    (event,) = accumulator.Tensors("config/text_summary")
    assert json.loads(event.tensor_proto.string_val[0]) == {**CONFIG, "widths": [32, 32]}


def test_tensorboard_hides_a_run_that_died_before_its_first_checkpoint(tmp_path):
    pytest.importorskip("tensorboard")
    for loss in (3.0, 2.0):
        wait_for_next_second()
        with open_loggers(["tensorboard"], run_name=RUN, config=CONFIG, folder=tmp_path) as opened:
            opened.log(0, {"loss": loss})
    assert read_tensorboard(tmp_path) == {"loss": [(0, 2.0)]}


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path, wandb):
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("not a folder")
    for name in ("tensorboard", "wandb-offline"):
        with pytest.raises(LoggerError, match=f"(under|Is) {re.escape(str(tmp_path / 'file'))}"):
            with open_loggers([name], run_name=RUN, config=CONFIG, folder=tmp_path / "file"):
                pass


def test_wandb_offline_reads_back_what_was_logged(tmp_path, wandb):
    losses = [2.5, math.nan, math.inf, 0.1]
    with open_loggers(["wandb-offline"], run_name=RUN, config=CONFIG, folder=tmp_path) as opened:
        for epoch, loss in enumerate(losses):
            opened.log(epoch, {"val_loss": loss, "val_accuracy": epoch / 4})
    assert wandb.run is None
    wandb.teardown()  # the service process writes the end of the file after `finish` returns
    (history,) = offline_parts(tmp_path)
    assert [row["_step"] for row in history] == [0, 1, 2, 3]
    assert [float(row["val_loss"]) for row in history] == pytest.approx(losses, nan_ok=True)
    assert [row["val_accuracy"] for row in history] == [0.0, 0.25, 0.5, 0.75]


def test_wandb_leaves_a_run_of_the_caller_alone(tmp_path, wandb):
    with wandb.init(mode="offline", dir=tmp_path / "own", settings={"console": "off"}) as own:
        with open_loggers(["wandb-offline"], run_name=RUN, config=CONFIG, folder=tmp_path) as ours:
            ours.log(0, {"loss": 1.0})
        assert wandb.run is own
        own.log({"still": "open"})


def kill_after_epoch_3(folder, **environment):
    """Log epochs 0 to 3 in a process that is killed as soon as W&B has them on the disk."""
    code = f"""
import time
from labutils.loggers import open_loggers
names = ["tensorboard", "wandb-offline"]
with open_loggers(names, run_name={RUN!r}, config={{}}, folder=FOLDER) as opened:
    for epoch in range(4):
        opened.log(epoch, {{"loss": 8.0 - epoch}})
    time.sleep(60)
"""
    with start_python(code, folder, **environment) as process:
        deadline = time.monotonic() + 30
        while [len(history) for history in offline_parts(folder)] != [4]:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()


def test_a_killed_run_is_resumed_under_the_same_names(tmp_path, wandb, monkeypatch):
    pytest.importorskip("tensorboard")
    folder = tmp_path / "logs"
    with monkeypatch.context() as patch:
        patch.delenv("WANDB_CACHE_DIR")
        kill_after_epoch_3(folder, HOME=str(tmp_path / "home"))
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]  # nothing is written elsewhere

    wait_for_next_second()
    names = ["tensorboard", "wandb-offline"]
    with open_loggers(names, run_name=RUN, config={}, folder=folder, first_epoch=2) as opened:
        for epoch in range(2, 5):
            opened.log(epoch, {"loss": 80.0 - epoch})
    wandb.teardown()
    assert read_tensorboard(folder)["loss"] == [(0, 8), (1, 7), (2, 78), (3, 77), (4, 76)]
    before, after = offline_parts(folder)
    assert [(row["_step"], row["loss"]) for row in before] == [(0, 8), (1, 7), (2, 6), (3, 5)]
    assert [(row["_step"], row["loss"]) for row in after] == [(2, 78), (3, 77), (4, 76)]


class FakeRun:
    """A run as W&B resumes it online: `step` is one more than the last step it has."""

    def __init__(self, step=0):
        self.step, self.rows, self.exit_code = step, [], None

    def log(self, values, *, step, commit):
        assert commit and step >= self.step
        self.rows.append((step, values))
        self.step = step + 1

    def finish(self, *, exit_code):
        self.exit_code = exit_code


@pytest.fixture
def online(monkeypatch, wandb):
    """An account and a server that has epochs 0 to 2 of the run; the arguments it was asked with"""
    asked = {"run": FakeRun(step=3)}
    monkeypatch.setattr(wandb, "login", lambda **arguments: arguments["prompt"] is False)
    monkeypatch.setattr(wandb, "init", lambda **given: asked.update(given) or asked["run"])
    return asked


def test_wandb_online_resumes_by_id_and_never_repeats_an_epoch(tmp_path, online):
    with open_loggers(
        ["wandb"], run_name=RUN, config=CONFIG, folder=tmp_path, first_epoch=2
    ) as opened:
        for epoch in range(2, 5):
            opened.log(epoch, {"loss": 1.0})
    assert [step for step, _ in online["run"].rows] == [3, 4]
    assert (online["mode"], online["id"], online["resume"]) == ("online", RUN, "allow")
    assert (online["dir"], online["config"]) == (tmp_path, CONFIG)
    assert 0 < online["settings"].init_timeout <= 30
    assert 0 < online["settings"].finish_timeout <= 120
    assert 0 < online["settings"].x_transaction_log_flush_interval <= 1
    assert online["run"].exit_code == 0


def test_an_error_in_the_training_closes_every_logger(tmp_path, online):
    pytest.importorskip("tensorboard")
    with pytest.raises(KeyboardInterrupt):
        with open_loggers(
            ["tensorboard", "wandb"], run_name=RUN, config=CONFIG, folder=tmp_path
        ) as opened:
            opened.log(3, {"loss": 1.0})
            raise KeyboardInterrupt
    assert online["run"].exit_code == 1
    assert read_tensorboard(tmp_path) == {"loss": [(3, 1.0)]}


def test_a_logger_that_fails_is_reported_once_and_dropped(tmp_path, online, monkeypatch):
    pytest.importorskip("tensorboard")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(online["run"], "log", full)
    monkeypatch.setattr(online["run"], "finish", full)
    with open_loggers(
        ["wandb", "tensorboard"], run_name=RUN, config=CONFIG, folder=tmp_path
    ) as opened:
        with pytest.warns(RuntimeWarning, match="wandb failed at epoch 3 .*No space left") as seen:
            opened.log(3, {"loss": 1.0})
        assert len(seen) == 1
        opened.log(4, {"loss": 0.5})
    assert read_tensorboard(tmp_path) == {"loss": [(3, 1.0), (4, 0.5)]}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
# TensorBoard's writer thread raises the same error once more as it ends.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_tensorboard_on_a_full_disk_does_not_stop_the_training(tmp_path):
    pytest.importorskip("tensorboard")
    threads = set(threading.enumerate())
    with open_loggers(["tensorboard"], run_name=RUN, config=CONFIG, folder=tmp_path) as opened:
        (events,) = (tmp_path / "tensorboard" / RUN).iterdir()
        (tmp_path / "full").symlink_to("/dev/full")
        os.replace(tmp_path / "full", events)  # TensorBoard reopens its file for every write
        with pytest.warns(RuntimeWarning, match="tensorboard failed at epoch 0 .*No space left"):
            opened.log(0, {"loss": 1.0})
        opened.log(1, {"loss": 0.5})
    for writer in set(threading.enumerate()) - threads:
        writer.join(timeout=10)


def test_a_logger_that_fails_while_closing_is_a_warning(tmp_path, online, monkeypatch):
    def unreachable(**_):
        raise ConnectionError("network gone")

    monkeypatch.setattr(online["run"], "finish", unreachable)
    with pytest.warns(RuntimeWarning, match="wandb failed while closing: .*network gone"):
        with open_loggers(["wandb"], run_name=RUN, config=CONFIG, folder=tmp_path):
            pass


def test_a_logger_that_cannot_start_closes_those_before_it(tmp_path, online, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(LoggerError, match="TensorBoard is not installed"):
        with open_loggers(["wandb", "tensorboard"], run_name=RUN, config=CONFIG, folder=tmp_path):
            pass
    assert online["run"].exit_code == 1


def test_wandb_without_a_key_says_what_to_do_at_once(tmp_path, wandb, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
    started = time.monotonic()
    with pytest.raises(LoggerError, match="no API key .*`wandb login` .*'wandb-offline'"):
        with open_loggers(["wandb"], run_name=RUN, config=CONFIG, folder=tmp_path):
            pass
    assert time.monotonic() - started < 10


def test_wandb_without_a_server_gives_up_in_seconds(tmp_path):
    pytest.importorskip("wandb")
    code = """
from labutils.training import loggers
loggers.WANDB_START_TIMEOUT = 1.0
try:
    with loggers.open_loggers(["wandb"], run_name="a", config={}, folder=FOLDER):
        pass
except loggers.LoggerError as error:
    print(error)
"""
    environment = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    started = time.monotonic()
    output = run_python(code, tmp_path / "logs", **environment)
    assert re.search("did not start: .*127.0.0.1:9.* 'wandb-offline' and upload", output)
    assert time.monotonic() - started < 30
    assert loggers.WANDB_START_TIMEOUT <= 30
