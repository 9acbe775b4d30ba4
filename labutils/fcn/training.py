"""Training of detectors: canvases drawn anew each epoch, a label a pixel."""

from __future__ import annotations

import copy
import functools
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from tqdm import tqdm

from labutils import data
from labutils.config.fcn import FCNConfig
from labutils.data.sets import Split
from labutils.fcn.canvases import BACKGROUND, Canvases, concatenate, draw_canvases
from labutils.fcn.measures import mean_iou, pixel_accuracy, pixel_confusion
from labutils.fcn.networks import build_detector, classifier_config
from labutils.models.costs import multiply_adds
from labutils.models.modes import eval_mode
from labutils.models.networks import Classifier
from labutils.runs.load import default_store
from labutils.runs.store import Store
from labutils.training.checkpoints import restore_checkpoint, save_checkpoint
from labutils.training.classifiers import OnEpoch, Outcome, batch_bar, tell_divergence
from labutils.training.evaluation import TrainingError
from labutils.training.execution import execution_for
from labutils.training.optimizers import learning_rate_at, make_optimizer, set_learning_rate

HELD_CANVASES = 2_000  # fixed ones, of training, validation and test digits each
TRAIN_SEED, VAL_SEED, TEST_SEED = 1_000_001, 1_000_002, 1_000_003  # no epoch's seed
BATCH = 100  # canvases evaluated at a time


@dataclass
class DetectorHistory:
    """What was measured through a detector's training, a value an epoch.

    Attributes:
        train_loss, train_accuracy: weighted cross-entropy and share of pixels that are right, on
            fixed canvases of training digits, in eval mode.
        val_loss, val_accuracy, val_mean_iou: on fixed canvases of validation digits.
        seconds: evaluation and the drawing of canvases included.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    val_mean_iou: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    status: str = "running"

    @property
    def epochs(self) -> int:
        """Epochs run so far."""
        return len(self.val_loss)


class PixelScores(NamedTuple):
    """Loss as trained, share of pixels that are right, and mean IoU, both in [0, 1]."""

    loss: float
    accuracy: float
    mean_iou: float


def train_detector(
    config: FCNConfig,
    *,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = True,
    store: Store | None = None,
) -> Outcome:
    """The recipe of a detector: draw canvases, train, and test once at the end.

    Args:
        store: where the classifier is looked up that `config` starts from.

    Raises:
        MissingRuns: that classifier is not stored.
        RunError: it keeps no weights.
        TrainingError: it is of another build than the detector.
    """
    digits = data.load(config.data)
    classifier = None
    if config.classifier:
        classifier = _starting_point(config, store or default_store())
    network = build_detector(config, classifier)
    if classifier is None:
        normalize = network.network.normalize
        normalize.mean.copy_(digits.mean.view(1, -1, 1, 1))
        normalize.std.copy_(digits.std.view(1, -1, 1, 1))
    training = _Training(network, digits, config, checkpoint)
    history = training.run(on_epoch, progress)
    val, test = training.score(digits.val, VAL_SEED), training.score(digits.test, TEST_SEED)
    metrics = {
        "status": history.status,
        "epochs": history.epochs,
        "best_epoch": history.epochs - (history.status == "diverged"),
        "val_loss": val.loss,
        "val_accuracy": val.accuracy,
        "val_mean_iou": val.mean_iou,
        "test_loss": test.loss,
        "test_accuracy": test.accuracy,
        "test_mean_iou": test.mean_iou,
        "seconds": sum(history.seconds),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        **training.execution.record(),
    }
    return Outcome(network, asdict(history), metrics)


def _starting_point(config: FCNConfig, store: Store) -> Classifier:
    """The stored classifier that `config` names, if it is of the right build."""
    run, wanted = store.load_id(config.classifier), classifier_config(config)
    for name in ("kind", "data", "model", "width", "norm", "unpadded", "dropout"):
        found = getattr(run.config, name, None)
        if found != getattr(wanted, name):
            raise TrainingError(
                f"classifier {config.classifier} has {name} {found!r}, but the detector needs "
                f"{getattr(wanted, name)!r}: name one that `networks.classifier_config` describes"
            )
    return run.model()


@functools.cache
def detector_cost(config: FCNConfig) -> float:
    """Multiply-adds of a whole training: the backward pass costs two forward passes."""
    shape = (1, config.size, config.size)
    canvases = config.canvases * config.epochs
    return 3.0 * multiply_adds(build_detector(config), shape) * canvases


class _Training:
    """State of one training."""

    def __init__(
        self,
        network: nn.Module,
        digits: data.DataSet,
        config: FCNConfig,
        checkpoint: Path | None,
    ) -> None:
        self.config, self.digits, self.checkpoint = config, digits, checkpoint
        self.execution = execution_for(network, config.precision)
        self.network = network.to(self.execution.device, memory_format=self.execution.memory_format)
        self.optimizer = make_optimizer(self.network, config)
        self.steps = math.ceil(config.canvases / config.batch_size)
        self.history = DetectorHistory()

    def run(self, on_epoch: OnEpoch | None, progress: bool) -> DetectorHistory:
        config = self.config
        self._restore()
        with batch_bar(config, self.steps, self.history.epochs, progress) as bar:
            while self.history.status == "running":
                before = copy.deepcopy(self.network.state_dict())
                started = time.perf_counter()
                finite = self._train_epoch(bar)
                self._measure(started, finite)
                if self.history.status == "diverged":
                    self.network.load_state_dict(before)
                    tell_divergence(config, self.history.epochs, self.history.epochs - 1)
                self._save()
                if on_epoch:
                    names = ("train_loss", "val_loss", "val_accuracy", "val_mean_iou")
                    last = {name: getattr(self.history, name)[-1] for name in names}
                    on_epoch(self.history.epochs, last)
                bar.set_postfix(val_mean_iou=f"{self.history.val_mean_iou[-1]:.3f}")
        self.network.eval()
        return self.history

    def _train_epoch(self, bar: tqdm) -> bool:
        config, epoch = self.config, self.history.epochs
        seed = config.seed * 1_009 + epoch
        canvases = draw_for(
            config, self.digits.train, config.canvases, seed, rotation=config.rotation
        )
        order = torch.randperm(len(canvases), generator=torch.Generator().manual_seed(seed))
        self.network.train()
        losses = torch.zeros((), device=self.execution.device)
        for step, indices in enumerate(order.split(config.batch_size)):
            rate = learning_rate_at(config, epoch * self.steps + step, config.epochs * self.steps)
            set_learning_rate(self.optimizer, rate)
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(canvases, indices)[0]
            loss.backward()
            self.optimizer.step()
            losses += loss.detach()
            bar.update()
        return bool(losses.isfinite())

    def _loss(self, canvases: Canvases, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, logits and labels of some canvases."""
        with self.execution.autocast():
            logits = self.network(self.execution.place(canvases.images[indices]))
        labels = pixel_labels(canvases, indices, self.config.background).to(logits.device)
        logits = logits.float()
        return weighted_cross_entropy(logits, labels, self._weights(logits)), logits, labels

    def _weights(self, logits: Tensor) -> Tensor:
        """Weight of each class in the loss."""
        weights = torch.ones(logits.shape[1], device=logits.device)
        if self.config.background:
            weights[BACKGROUND] = self.config.background_weight
        return weights

    @torch.no_grad()
    def score(self, digits: Split, seed: int) -> PixelScores:
        """Loss, pixel accuracy and mean IoU on fixed canvases, in eval mode."""
        count = min(HELD_CANVASES, self.config.canvases)
        canvases = draw_for(self.config, digits, count, seed)
        total, weights, confusion = 0.0, 0.0, torch.zeros((), dtype=torch.int64)
        with eval_mode(self.network):
            for indices in torch.arange(count).split(BATCH):
                loss, logits, labels = self._loss(canvases, indices)
                weight = self._weights(logits)[labels].sum().item()
                total, weights = total + weight * loss.item(), weights + weight
                confusion = confusion + pixel_confusion(logits, labels).cpu()
        return PixelScores(total / weights, pixel_accuracy(confusion), mean_iou(confusion))

    def _measure(self, started: float, finite: bool) -> None:
        history = self.history
        train = self.score(self.digits.train, TRAIN_SEED)
        val = self.score(self.digits.val, VAL_SEED)
        history.train_loss.append(train.loss)
        history.train_accuracy.append(train.accuracy)
        history.val_loss.append(val.loss)
        history.val_accuracy.append(val.accuracy)
        history.val_mean_iou.append(val.mean_iou)
        history.learning_rate.append(self.optimizer.param_groups[0]["lr"])
        history.seconds.append(time.perf_counter() - started)
        if not (finite and math.isfinite(train.loss) and math.isfinite(val.loss)):
            history.status = "diverged"
        elif history.epochs == self.config.epochs:
            history.status = "finished"

    def _save(self) -> None:
        if self.checkpoint is not None:
            save_checkpoint(
                self.checkpoint, self.config, self.network, self.optimizer, asdict(self.history)
            )

    def _restore(self) -> None:
        if self.checkpoint is None:
            return
        state = restore_checkpoint(
            self.checkpoint,
            self.config,
            self.network,
            self.optimizer,
            DetectorHistory,
            self.execution.device,
        )
        if state is not None:
            self.history = state["history"]


def draw_for(
    config: FCNConfig, digits: Split, count: int, seed: int, *, rotation: float = 0.0
) -> Canvases:
    """Canvases of the kinds that `config` trains on; its digits are turned only if asked for."""
    touching = round(config.touching * count)
    fewest, most = config.number
    parts = [
        draw_canvases(
            digits,
            many,
            size=(config.size, config.size),
            number=number,
            scale=config.scale,
            layout=layout,
            clutter=config.clutter,
            rotation=rotation,
            seed=2 * seed + (layout == "touching"),
        )
        for layout, many, number in (
            ("separate", count - touching, config.number),
            ("touching", touching, (max(fewest, 2), most)),  # a single digit touches nothing
        )
        if many
    ]
    return concatenate(parts)


def weighted_cross_entropy(
    logits: Float[Tensor, "some classes height width"],
    labels: Int64[Tensor, "some height width"],
    weights: Float[Tensor, " classes"],
) -> Tensor:
    """Cross-entropy with a weight a class, whose best scores are those of unweighted pixels.

    A weighted loss alone teaches probabilities in proportion to the weights, and so boxes wider
    than the digits. Here the weights' logarithms are added to the scores inside the loss, so that
    they need not be in the scores.

    Source: after Menon et al. 2021, "Long-tail learning via logit adjustment", section 4.2.
    """
    return F.cross_entropy(logits + weights.log()[:, None, None], labels, weights)


def pixel_labels(
    canvases: Canvases, indices: Int64[Tensor, " some"], background: bool
) -> Int64[Tensor, "some height width"]:
    """The class of each pixel; without a background class the canvas's digit everywhere."""
    if background:
        return canvases.classes[indices].long()
    height, width = canvases.images.shape[2:]
    return canvases.labels[indices, :1, None].expand(-1, height, width)
