"""A training that starts and stops at a button, with live curves."""

import html
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ipywidgets

from labutils.config import DATA_SETS, RunConfig
from labutils.data.sets import DataSet
from labutils.models.networks import build_model
from labutils.report.explorers.drawing import WIDE, draw
from labutils.report.explorers.figures import live_curves
from labutils.report.statistics import percent
from labutils.training.classifiers import fit


class TrainLive(ipywidgets.VBox):
    """Trains a plain and a residual MLP, epoch by epoch in turn, and draws their curves live.

    Training runs in a thread of its own, so that the Stop button is heard; for the digits it takes
    at most about 30 seconds on two cores.
    """

    def __init__(self, images: DataSet, depth: int = 22, epochs: int = 12) -> None:
        self.data, self.epochs = images, epochs
        self.base = RunConfig(data=images.name, depth=depth, width=64, epochs=epochs, batch_size=32)
        self.train_button = ipywidgets.Button(description="Train", button_style="primary")
        self.stop_button = ipywidgets.Button(description="Stop")
        self.progress = ipywidgets.IntProgress(max=2 * epochs, description="Epochs", style=WIDE)
        self.status = ipywidgets.HTML()
        self.picture = ipywidgets.Image(format="png")
        self.train_button.on_click(lambda button: self.train())
        self.stop_button.on_click(lambda button: self.stop())
        self._stop, self._thread = threading.Event(), threading.Thread()
        self._set_running(False)
        self._reset()
        row = ipywidgets.HBox([self.train_button, self.stop_button, self.progress])
        super().__init__([row, self.status, self.picture])
        self._say(
            f"Two MLPs of depth {depth} on {DATA_SETS[images.name].title}, equal but for the "
            "skips, wait for the Train button."
        )

    def train(self) -> None:
        """Begin anew; returns at once."""
        if self.running:
            return
        self._set_running(True)
        self._reset()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the training after the epoch that is under way; returns at once."""
        self._stop.set()
        self._say("Stopping after this epoch.")

    def wait(self) -> None:
        """Return when the training has ended."""
        if self._thread.ident is not None:
            self._thread.join()

    def _reset(self) -> None:
        self._stop.clear()
        self.histories: dict[str, dict[str, list[float]]] = {"plain": {}, "residual": {}}
        self.progress.value = 0
        self._draw()

    def _run(self) -> None:
        """Train both in turn; each may end before the other: early, or because it diverged."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                left = list(self.histories)
                while left and not self._stop.is_set():
                    left = [kind for kind in left if self._one_epoch(kind, Path(folder))]
            how = "Stopped" if left else "Finished"
        except Exception as error:  # a thread's error would otherwise be seen by nobody
            how = f"{type(error).__name__}: {html.escape(str(error))}"
        self._finish(how)

    def _one_epoch(self, kind: str, folder: Path) -> bool:
        """Go on with one network from its checkpoint; tells whether it has more to train."""

        def pause(epoch: int, scalars: Mapping[str, float]) -> None:
            for name, value in scalars.items():
                self.histories[kind].setdefault(name, []).append(value)
            self.progress.value += 1
            self._say(f"Epoch {epoch} of {self.epochs}: the {kind} network has been measured.")
            self._draw()
            raise _Paused

        data, config = self.data, replace(self.base, residual=kind == "residual")
        statistics = (data.mean, data.std)
        model = build_model(config, data.image_shape, len(data.class_names), statistics)
        train, val = ((part.images, part.labels) for part in (data.train, data.val))
        file = folder / f"{kind}.pt"
        try:
            fit(model, train, val, config, checkpoint=file, on_epoch=pause, progress=False)
        except _Paused:
            return True
        return False

    def _finish(self, how: str) -> None:
        parts = [
            f"{kind}: training loss {history['train_loss'][-1]:.3f}, validation accuracy "
            f"{percent(history['val_accuracy'][-1])}"
            for kind, history in self.histories.items()
            if history
        ]
        self._say(f"{how}. {'; '.join(parts)}." if parts else f"{how}.")
        self._set_running(False)

    def _set_running(self, running: bool) -> None:
        self.running = self.train_button.disabled = running
        self.stop_button.disabled = not running

    def _say(self, text: str) -> None:
        self.status.value = f"<p>{text}</p>"

    def _draw(self) -> None:
        self.picture.value = draw(live_curves, self.histories, self.epochs)


class _Paused(Exception):
    """An epoch is over: it is the other network's turn."""
