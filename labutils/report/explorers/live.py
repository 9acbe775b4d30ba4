"""A training that starts and stops at a button, with live curves."""

from __future__ import annotations

import html
import threading
from collections.abc import Mapping
from dataclasses import replace

import ipywidgets

from labutils.config.classifier import RunConfig
from labutils.config.data_sets import DATA_SETS
from labutils.data.sets import DataSet
from labutils.models.networks import build_model
from labutils.report.explorers.drawing import WIDE, draw
from labutils.report.explorers.figures import live_curves
from labutils.report.statistics import percent
from labutils.training.classifiers import fit


class TrainLive(ipywidgets.VBox):
    """Trains a plain and a residual MLP, epoch by epoch in turn, and draws their curves live.

    Training runs in threads of its own, so that the Stop button is heard; a stopped training
    ends with the epoch that is under way. At most about 30 seconds on two cores for the digits.

    Args:
        images: the data set to train on.
        depth: weight layers of both networks.
        epochs: of each network.
    """

    def __init__(self, images: DataSet, depth: int = 22, epochs: int = 12) -> None:
        self.data, self.epochs = images, epochs
        self.base = RunConfig(data=images.name, depth=depth, width=64, epochs=epochs, batch_size=32)
        self.train_button = ipywidgets.Button(description="Train", button_style="primary")
        self.stop_button = ipywidgets.Button(description="Stop", disabled=True)
        self.progress = ipywidgets.IntProgress(max=2 * epochs, description="Epochs", style=WIDE)
        self.status = ipywidgets.HTML()
        self.picture = ipywidgets.Image(format="png")
        self.train_button.on_click(lambda button: self.train())
        self.stop_button.on_click(lambda button: self.stop())
        self._stop, self._threads, self._left, self._failed = threading.Event(), [], 0, ""
        self._reset()
        row = ipywidgets.HBox([self.train_button, self.stop_button, self.progress])
        super().__init__([row, self.status, self.picture])
        self._say(
            f"Two MLPs of depth {depth} on {DATA_SETS[images.name].title}, equal but for the "
            "skips, wait for the Train button."
        )

    @property
    def running(self) -> bool:
        """Whether a training is under way."""
        return self._left > 0

    def train(self) -> None:
        """Begin anew; returns at once."""
        if self.running:
            return
        self._reset()
        self.train_button.disabled, self.stop_button.disabled = True, False
        turns = {kind: threading.Semaphore(kind == "plain") for kind in self.histories}
        self._threads = [
            threading.Thread(target=self._run, args=(kind, turns), daemon=True)
            for kind in self.histories
        ]
        self._left = len(self._threads)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the training after the epoch that is under way; returns at once."""
        self._stop.set()
        self._say("Stopping after this epoch.")

    def wait(self) -> None:
        """Return when the training has ended."""
        for thread in self._threads:
            thread.join()

    def _reset(self) -> None:
        self._stop.clear()
        self._failed = ""
        self.histories: dict[str, dict[str, list[float]]] = {"plain": {}, "residual": {}}
        self.progress.value = 0
        self._draw()

    def _run(self, kind: str, turns: dict[str, threading.Semaphore]) -> None:
        """Train one network; after each epoch it is the other one's turn."""
        mine = turns[kind]
        other = next(turn for name, turn in turns.items() if name != kind)

        def on_epoch(epoch: int, scalars: Mapping[str, float]) -> None:
            for name, value in scalars.items():
                self.histories[kind].setdefault(name, []).append(value)
            self.progress.value += 1
            self._say(f"Epoch {epoch} of {self.epochs}: the {kind} network has been measured.")
            self._draw()
            other.release()
            mine.acquire()
            if self._stop.is_set():
                raise _Stopped

        data, config = self.data, replace(self.base, residual=kind == "residual")
        mine.acquire()
        try:
            if not self._stop.is_set():
                statistics = (data.mean, data.std)
                model = build_model(config, data.image_shape, len(data.class_names), statistics)
                train, val = ((part.images, part.labels) for part in (data.train, data.val))
                fit(model, train, val, config, on_epoch=on_epoch, progress=False)
        except _Stopped:
            pass
        except Exception as error:  # a thread's error would otherwise be seen by nobody
            self._stop.set()
            self._failed = f"{type(error).__name__}: {html.escape(str(error))}"
        finally:
            self._left -= 1
            if self._left == 0:
                self._finish()
            other.release()

    def _finish(self) -> None:
        self.train_button.disabled, self.stop_button.disabled = False, True
        parts = [
            f"{kind}: training loss {history['train_loss'][-1]:.3f}, validation accuracy "
            f"{percent(history['val_accuracy'][-1])}"
            for kind, history in self.histories.items()
            if history
        ]
        how = self._failed or ("Stopped" if self._stop.is_set() else "Finished")
        self._say(f"{how}. {'; '.join(parts)}." if parts else f"{how}.")

    def _say(self, text: str) -> None:
        self.status.value = f"<p>{text}</p>"

    def _draw(self) -> None:
        self.picture.value = draw(live_curves, self.histories, self.epochs)


class _Stopped(Exception):
    """The Stop button was pressed."""
