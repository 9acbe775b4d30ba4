"""The peer of dense inference: the classifier asked about every window, one by one."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor

from labutils import data
from labutils.config import DATA_SETS
from labutils.data.canvases import draw_canvases
from labutils.fcn.conversion import FullyConvolutional, convolutionalize
from labutils.fcn.detection import Detections
from labutils.models.networks import Classifier
from labutils.models.receptive_field import receptive_field
from labutils.runs.load import measure
from labutils.runs.store import Run
from labutils.training.evaluation import EVALUATION_BATCH, predict

DIGITS, CANVASES = 500, 12  # that a stored classifier is compared on


@measure("windows", lambda run: {"digits": DIGITS, "canvases": CANVASES, "seed": 0})
def window_agreement(run: Run) -> list[dict[str, Any]]:
    """`compare_with_windows` of a stored classifier: on its test digits, and on larger canvases.

    Raises:
        RunError: the run keeps no weights.
    """
    digits, classifier = data.load(run.config.data).test, run.model()
    network = convolutionalize(classifier, DATA_SETS[run.config.data].image_shape)
    canvases = draw_canvases(digits, CANVASES, seed=0).images
    return [
        compare_with_windows(classifier, network, images, digits.images.shape[2])
        for images in (digits.images[:DIGITS], canvases)
    ]


def compare_with_windows(
    classifier: Classifier,
    network: FullyConvolutional,
    images: Shaped[Tensor, "n channels height width"],
    side: int,
) -> dict[str, Any]:
    """The map of a sliding classifier beside the classifier's own answers to the windows.

    Args:
        network: the classifier, made fully convolutional.
        side: of the windows, the size of image that the classifier was built for.

    Returns:
        `image` and `map` (height and width), `receptive_field` and `stride` of a cell in pixels,
        and `difference`, the largest between two probabilities, in [0, 1].

    Raises:
        ValueError: the images are smaller than a window.
    """
    size, stride, _ = receptive_field(network)
    windows = slide_classifier(classifier, images, side=side, stride=stride)
    cells = predict(network, images)
    rows, columns = windows.shape[2:]
    return {
        "image": list(images.shape[2:]),
        "map": list(cells.shape[2:]),
        "receptive_field": size,
        "stride": stride,
        "difference": (cells[..., :rows, :columns] - windows).abs().max().item(),
    }


def answers_of_cells(
    network: FullyConvolutional,
    image: Shaped[Tensor, "channels height width"],
    cells: Sequence[tuple[int, int]],
) -> Detections:
    """What some cells of the map of an image answer, each with its receptive field as the box.

    Args:
        cells: row and column in the map, from 0.

    Returns:
        In the order of `cells`: box, most probable class, its probability as the score.
    """
    geometry, probability = receptive_field(network), predict(network, image[None])[0]
    scores, labels = probability.max(0)
    rows, columns = zip(*cells, strict=True)
    boxes = [geometry.box(*cell) for cell in cells]
    return Detections.of(boxes, labels[rows, columns].tolist(), scores[rows, columns].tolist())


def slide_classifier(
    classifier: Classifier,
    images: Shaped[Tensor, "n channels height width"],
    *,
    side: int,
    stride: int,
    batch_size: int = EVALUATION_BATCH,
) -> Float[Tensor, "n classes rows columns"]:
    """The class probabilities of each window of `side` x `side` pixels, `stride` apart.

    Args:
        batch_size: windows at a time.

    Raises:
        ValueError: the images are smaller than a window.
    """
    if min(images.shape[2:]) < side:
        raise ValueError(
            f"images of {images.shape[2]} x {images.shape[3]} pixels have no window of {side}: "
            "give larger ones"
        )
    windows = images.unfold(2, side, stride).unfold(3, side, stride)
    rows, columns = windows.shape[2:4]
    crops = windows.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    probability = predict(classifier, crops, batch_size=batch_size)
    return probability.view(len(images), rows, columns, -1).permute(0, 3, 1, 2)
