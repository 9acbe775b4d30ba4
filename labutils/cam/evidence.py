"""How far the maps of a stored network can be believed: the measures of localisation and faith.

Each is stored beside the run. Maps are not rectified here, so that all their values have an order.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labutils import data
from labutils.cam import faithfulness, localisation
from labutils.cam.kinds import BATCH, Kind, cell_maps, maps_of
from labutils.cam.maps import class_activation_maps
from labutils.cam.placement import at_pixels
from labutils.config import DATA_SETS
from labutils.data.splits import Split
from labutils.data.variants import MARK, MARKED_CLASS, marked
from labutils.models.networks import Classifier
from labutils.runs.load import measure, ready
from labutils.runs.store import Run
from labutils.training.evaluation import predict
from labutils.training.execution import Execution

NEAR = 4  # pixels: a cell of the networks' last maps


def _asked(run: Run, kinds: Sequence[Kind], count: int) -> dict[str, Any]:
    return {"images": count, "kinds": [list(kind) for kind in kinds]}


def _predicted(run: Run, count: int) -> tuple[Classifier, Execution, Tensor, Tensor]:
    """The network, how it is computed, the first test images, and their predicted classes."""
    network, execution = ready(run)
    batch = data.load(run.config.data).test.images[:count]
    return network, execution, batch, predict(network, batch, execution).argmax(1)


@measure("localisation", _asked)
def localised(run: Run, kinds: Sequence[Kind], count: int) -> list[dict[str, Any]]:
    """How maps of the true class and masks agree, on the first `count` test images.

    Returns:
        For each kind its fields, and means: `pointing` into the mask, `box_pointing` into its
        box, `energy` inside of the mask, `iou`, all in [0, 1]; `down` and `right`, how far in
        pixels the maps lie from the masks. `threshold` of the IoU, chosen on as many validation
        images.
    """
    network, _ = ready(run)
    images = data.load(run.config.data)
    val, test = (part.take(slice(count)) for part in (images.val, images.test))
    masks, found = test.masks.bool(), []
    for kind in kinds:
        tried = maps_of(network, val.images, kind, val.labels)
        threshold = localisation.best_threshold(tried, val.masks.bool())
        maps = maps_of(network, test.images, kind, test.labels)
        down, right = localisation.displacement(maps, masks).unbind(1)
        scores = {
            "pointing": localisation.pointing(maps, masks),
            "box_pointing": localisation.pointing(maps, localisation.boxes_of(masks)),
            "energy": localisation.energy_inside(maps, masks),
            "iou": localisation.iou(maps, masks, threshold),
            "down": down,
            "right": right,
        }
        means = {name: values.nanmean().item() for name, values in scores.items()}
        found.append(kind._asdict() | means | {"threshold": threshold})
    return found


@measure("faithfulness", _asked)
def faithful(run: Run, kinds: Sequence[Kind], count: int) -> list[dict[str, Any]]:
    """Deletion and insertion of the predicted class, on the first `count` test images.

    Returns:
        For each kind and fill the kind's fields, `fill`, and `deletion` and `insertion`: the
        mean probability at each step.
    """
    network, execution, batch, predicted = _predicted(run, count)
    found = []
    for kind in kinds:
        maps = maps_of(network, batch, kind, predicted)
        for name, fill in faithfulness.FILLS.items():
            parts = zip(*(x.split(BATCH) for x in (batch, maps, predicted)), strict=True)
            with execution.autocast():
                curves = [
                    faithfulness.deletion_insertion(network, image, each, fill(image), classes)
                    for image, each, classes in parts
                ]
            deletion, insertion = (torch.cat(each).mean(0) for each in zip(*curves, strict=True))
            means = {"deletion": deletion.tolist(), "insertion": insertion.tolist()}
            found.append(kind._asdict() | {"fill": name} | means)
    return found


@measure("steadiness", _asked)
def steady(run: Run, kinds: Sequence[Kind], count: int) -> list[dict[str, Any]]:
    """Rank correlation of maps before and after a small change, at their own resolution.

    Returns:
        For each kind its fields, and means over test images: `noise`, with Gaussian noise of one
        percent, and `shift`, one pixel to the right and down.
    """
    network, execution, batch, predicted = _predicted(run, count)
    changed = {"noise": faithfulness.with_noise(batch), "shift": faithfulness.shifted(batch, 1, 1)}
    found = []
    for kind in kinds:
        maps = partial(cell_maps, network, kind=kind, labels=predicted)
        with execution.autocast():
            before = maps(batch)
            after = {name: maps(images) for name, images in changed.items()}
        kept = {name: faithfulness.rank_correlation(before, then) for name, then in after.items()}
        means = {name: values.nanmean().item() for name, values in kept.items()}
        found.append(kind._asdict() | means)
    return found


@measure("randomised", _asked)
def randomised(run: Run, kinds: Sequence[Kind], count: int) -> list[dict[str, Any]]:
    """Rank correlation with the trained network's maps as layers lose their training, last first.

    Returns:
        For each kind its fields, `layers`: their names in that order, and `correlation` with each:
        a mean over test images, at the maps' own resolution.
    """
    network, execution, batch, predicted = _predicted(run, count)
    found = [kind._asdict() | {"layers": [], "correlation": []} for kind in kinds]

    def values(changed: Classifier, kind: Kind) -> Tensor:
        with execution.autocast():  # each time anew: it keeps what it made of the weights
            return cell_maps(changed, batch, kind, predicted)

    trained = [values(network, kind) for kind in kinds]
    for name, changed in faithfulness.randomised_from_the_top(network, batch):
        for kind, before, row in zip(kinds, trained, found, strict=True):
            correlation = faithfulness.rank_correlation(before, values(changed, kind))
            row["layers"].append(name)
            row["correlation"].append(torch.nanmean(correlation).item())
    return found


@measure("warning", lambda run: {})
def warning(run: Run) -> dict[str, Any]:
    """Whether the map of a prediction says that it is wrong: CAM of the predicted class.

    Returns:
        `wrong`: share of wrong predictions on the test set. `means`: of each sign for `right` and
        `wrong` ones. `auc`: the area under the ROC curve of each sign as a detector of wrong
        predictions, in [0, 1], chance 0.5, and of `all` signs together: each by a logistic
        regression that was fitted on validation images. Nan where there is nothing to tell apart.
    """
    # here: the grids name kinds of maps, and are imported wherever a run is asked for
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network, _ = ready(run)
    images = data.load(run.config.data)
    fit_on, fit_wrong = _signs(network, images.val)
    signs, wrong = _signs(network, images.test)

    def auc(columns: Sequence[str]) -> float:
        if len({*fit_wrong}) < 2 or len({*wrong}) < 2:
            return math.nan
        fit_matrix, matrix = (np.stack([of[name] for name in columns], 1) for of in (fit_on, signs))
        fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(fit_matrix, fit_wrong)
        return roc_auc_score(wrong, fitted.decision_function(matrix))

    return {
        "wrong": float(wrong.mean()),
        "means": {
            name: {"right": _mean(v[~wrong]), "wrong": _mean(v[wrong])} for name, v in signs.items()
        },
        "auc": {name: auc([name]) for name in signs} | {"all": auc(list(signs))},
    }


def _signs(network: Classifier, split: Split) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What a prediction shows of itself, and whether it is wrong."""
    rows, wrong = [], []
    for images, labels in zip(split.images.split(BATCH), split.labels.split(BATCH), strict=True):
        maps = class_activation_maps(network, images)
        drawn = at_pixels(network, images, maps)
        top = maps.logits.double().softmax(1).amax(1)
        odds = torch.logit(top, eps=1e-12)
        rows.append((odds, localisation.entropy(drawn), localisation.energy_at_border(drawn)))
        wrong.append(maps.class_idx.cpu() != labels)
    columns = (torch.cat(parts).cpu().numpy() for parts in zip(*rows, strict=True))
    signs = dict(zip(("log odds", "entropy", "energy at border"), columns, strict=True))
    return signs, torch.cat(wrong).numpy()


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


@measure("mark", lambda run: {})
def mark_dependence(run: Run) -> dict[str, Any]:
    """What the mark in the corner does to a network: accuracies, and where its maps look.

    Returns:
        By which test images carry the mark (`none`, `all`): `accuracy`, `class_accuracy` (of the
        class that was marked), `answers` (share of the images of other classes that are named that
        class), and `energy` (share of CAM's positive values for that class within `NEAR` pixels of
        the mark's place, over its images); shares in [0, 1].
    """
    network, execution = ready(run)
    shapes = data.load(DATA_SETS[run.config.data].made_from).test
    everywhere = marked(shapes, torch.ones(len(shapes), dtype=torch.bool))
    whose = shapes.labels == MARKED_CLASS
    place = torch.zeros(shapes.images.shape[2:], dtype=torch.bool)
    place[tuple(slice(part.start - NEAR, part.stop + NEAR) for part in MARK)] = True
    found = {}
    for name, split in (("none", shapes), ("all", everywhere)):
        answers = predict(network, split.images, execution).argmax(1)
        own = split.take(whose.nonzero().flatten())
        maps = maps_of(network, own.images, Kind("grad-cam"), own.labels)
        shares = {
            "accuracy": answers == shapes.labels,
            "class_accuracy": answers[whose] == MARKED_CLASS,
            "answers": answers[~whose] == MARKED_CLASS,
        }
        found[name] = {key: right.double().mean().item() for key, right in shares.items()}
        inside = localisation.energy_inside(maps, place.expand(maps.shape))
        found[name]["energy"] = inside.mean().item()
    return found
