"""Training of detectors: canvases drawn anew each epoch, a label a pixel."""

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labutils import data
from labutils.config import FCNConfig
from labutils.data.canvases import BACKGROUND, Canvases, concatenate, draw_canvases
from labutils.data.sets import Split
from labutils.fcn.networks import build_detector, classifier_config
from labutils.fcn.pixels import mean_iou, pixel_accuracy, pixel_confusion
from labutils.models.costs import multiply_adds
from labutils.models.modes import eval_mode
from labutils.models.networks import Classifier
from labutils.runs.load import default_store
from labutils.runs.store import Store
from labutils.training.evaluation import Evaluation
from labutils.training.execution import execution_for
from labutils.training.history import History, Outcome
from labutils.training.inputs import TrainingError
from labutils.training.loop import Task, run_epochs

HELD_CANVASES = 2_000  # fixed ones, of training, validation and test digits each
TRAIN_SEED, VAL_SEED, TEST_SEED = 1_000_001, 1_000_002, 1_000_003  # no epoch's seed
HELD_BATCH = 100  # canvases evaluated at a time


@dataclass
class DetectorHistory(History):
    """What was measured through a detector's training, a value an epoch.

    Loss is weighted cross-entropy, accuracy the share of pixels that are right, on fixed canvases
    of training and of validation digits. Seconds include evaluation and the drawing of canvases.
    """

    val_mean_iou: list[float] = field(default_factory=list)


class PixelScores(NamedTuple):
    """Loss as trained, share of pixels that are right, and mean IoU, both in [0, 1]."""

    loss: float
    accuracy: float
    mean_iou: float

    named = Evaluation.named


def train_detector(config: FCNConfig, *, store: Store | None = None, **options: Any) -> Outcome:
    """Train a detector: draw canvases, train, and test once at the end.

    Args:
        store: where the classifier is looked up that `config` starts from.
        options: those of `run_epochs`.

    Raises:
        MissingRuns: that classifier is not stored.
        RunError: it keeps no weights.
        TrainingError: it is of another build than the detector.
    """
    digits = data.load(config.data)
    if config.classifier:
        network = build_detector(config, _starting_point(config, store or default_store()))
    else:
        network = build_detector(config)
        normalize = network.network.normalize
        normalize.mean.copy_(digits.mean.view(1, -1, 1, 1))
        normalize.std.copy_(digits.std.view(1, -1, 1, 1))
    task = Detection(network, digits, config)
    history = run_epochs(task, **options)
    val, test = task.score(digits.val, VAL_SEED), task.score(digits.test, TEST_SEED)
    metrics = {
        "status": history.status,
        "epochs": history.epochs,
        "best_epoch": history.best_epoch,
        **val.named("val"),
        **test.named("test"),
        "seconds": sum(history.seconds),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        **task.execution.record(),
    }
    return Outcome(network, history.to_dict(), metrics)


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


class Detection(Task):
    """Training of a detector: canvases drawn anew each epoch, a label a pixel."""

    def __init__(self, network: nn.Module, digits: data.DataSet, config: FCNConfig) -> None:
        self.config, self.digits, self.examples = config, digits, config.canvases
        self.execution = execution_for(network, config.precision)
        self.model = network.to(self.execution.device, memory_format=self.execution.memory_format)
        self.data = [t for part in (digits.train, digits.val) for t in (part.images, part.labels)]
        self.weights = torch.ones(BACKGROUND + config.background, device=self.execution.device)
        self.weights[BACKGROUND:] = config.background_weight
        self.history = DetectorHistory()

    def start_epoch(self, epoch: int, generator: torch.Generator) -> Tensor:
        """Draw the epoch's canvases, by a seed of its own."""
        config, digits = self.config, self.digits.train
        seed = config.seed * 1_009 + epoch
        self.canvases = None  # those of the epoch before make room
        self.canvases = draw_for(config, digits, self.examples, seed, rotation=config.rotation)
        return torch.randperm(self.examples, generator=torch.Generator().manual_seed(seed))

    def loss(self, indices: Tensor) -> Tensor:
        """Weighted cross-entropy of some of the epoch's canvases."""
        return self._outputs(self.canvases, indices)[0]

    def _outputs(self, canvases: Canvases, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, logits and labels of some canvases."""
        with self.execution.autocast():
            logits = self.model(self.execution.place(canvases.images[indices]))
        labels = pixel_labels(canvases, indices, self.config.background).to(logits.device)
        logits = logits.float()
        return weighted_cross_entropy(logits, labels, self.weights), logits, labels

    @torch.no_grad()
    def score(self, digits: Split, seed: int) -> PixelScores:
        """Loss, pixel accuracy and mean IoU on fixed canvases, in eval mode."""
        count = min(HELD_CANVASES, self.config.canvases)
        canvases = draw_for(self.config, digits, count, seed)
        total, weights, confusion = 0.0, 0.0, 0
        with eval_mode(self.model):
            for indices in torch.arange(count).split(HELD_BATCH):
                loss, logits, labels = self._outputs(canvases, indices)
                weight = self.weights[labels].sum().item()
                total, weights = total + weight * loss.item(), weights + weight
                confusion += pixel_confusion(logits, labels).cpu()
        return PixelScores(total / weights, pixel_accuracy(confusion), mean_iou(confusion))

    def measure(self) -> dict[str, float]:
        """Scores on fixed canvases of training and of validation digits."""
        loss, accuracy, _ = self.score(self.digits.train, TRAIN_SEED)
        val = self.score(self.digits.val, VAL_SEED)
        return Evaluation(loss, accuracy).named("train") | val.named("val")


def draw_for(
    config: FCNConfig, digits: Split, count: int, seed: int, *, rotation: float = 0.0
) -> Canvases:
    """Canvases of the kinds that `config` trains on; its digits are turned only if asked for."""
    touching = round(config.touching * count)
    fewest, most = config.number
    asked = {"size": (config.size,) * 2, "scale": config.scale, "clutter": config.clutter}
    kinds = [
        ("separate", count - touching, config.number, 2 * seed),
        ("touching", touching, (max(fewest, 2), most), 2 * seed + 1),  # one digit touches nothing
    ]
    parts = [
        draw_canvases(
            digits, many, layout=layout, number=number, seed=own_seed, rotation=rotation, **asked
        )
        for layout, many, number, own_seed in kinds
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
    than the digits: here the loss itself adds the weights' logarithms to the scores.

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
