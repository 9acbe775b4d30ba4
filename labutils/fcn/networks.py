"""The detector's network: a sliding classifier that answers for every pixel of any image."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labutils.config import DATA_SETS, RunConfig
from labutils.config.fcn import DIGIT_SIDE, FCNConfig
from labutils.fcn.conversion import FullyConvolutional, convolutionalize, dilate
from labutils.models.blocks import Images
from labutils.models.modes import eval_mode
from labutils.models.networks import Classifier, build_model
from labutils.models.receptive_field import receptive_field
from labutils.runs.store import Run
from labutils.training.execution import Execution, execution_for

Map = Float[Tensor, "batch channels map_height map_width"]
Pixels = Float[Tensor, "batch classes height width"]


class DenseNetwork(nn.Module):
    """Scores of each class for each pixel of images of any size.

    The image is framed in black, so that the map of `network` has a cell for each `stride`-th
    pixel, the outermost included; `upsample` makes `stride` x `stride` pixels of a cell.
    """

    def __init__(self, network: FullyConvolutional, upsample: nn.Module) -> None:
        super().__init__()
        self.geometry = receptive_field(network)
        self.network, self.upsample = network, upsample

    def forward(self, images: Images) -> Pixels:
        height, width = images.shape[2:]
        frame = (*self._frame(width), *self._frame(height))
        return self._scores(F.pad(images, frame))[..., :height, :width]

    def _scores(self, framed: Images) -> Tensor:
        return self.upsample(self.network(framed))

    def _frame(self, length: int) -> tuple[int, int]:
        """Black pixels before and after: the first cell looks at the middle of its own pixels."""
        _, stride, offset = self.geometry
        before = math.floor(offset - (stride - 1) / 2)
        cells = -(-length // stride)
        window = round(2 * offset) + 1  # without what the layers pad themselves
        return before, window + stride * (cells - 1) - length - before


class LearnedUpsampling(nn.Module):
    """Scores of a coarse map, interpolated, and details that transposed convolutions add.

    These double the map until there is a cell for each pixel; `stride` is a power of two. The last
    begins at zero, so that the first answers are those of the coarse map.

    Source: after Long, Shelhamer and Darrell 2015, section 3.3, whose learned upsampling begins as
    interpolation; that the details are a branch of their own is ours.
    """

    def __init__(self, scores: nn.Conv2d, width: int, stride: int) -> None:
        super().__init__()
        self.scores, self.interpolate = scores, _interpolation(stride)
        inputs, layers = scores.in_channels, []
        for _ in range(round(math.log2(stride)) - 1):
            layers += [nn.ConvTranspose2d(inputs, width, 4, stride=2, padding=1), nn.ReLU()]
            inputs = width
        last = nn.ConvTranspose2d(inputs, scores.out_channels, 4, stride=2, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.details = nn.Sequential(*layers, last)

    def forward(self, features: Map) -> Pixels:
        return self.interpolate(self.scores(features)) + self.details(features)


class SkipNetwork(DenseNetwork):
    """Its `upsample`, `SkipScores`, sees the finer maps as well."""

    def _scores(self, framed: Images) -> Tensor:
        return self.upsample(*self.network.with_finer_maps(framed))


class SkipScores(nn.Module):
    """Scores of a coarse map, interpolated, plus those of finer maps, by a 1x1 convolution each.

    These begin at zero. The coarse map can know which digit is there, the finer ones where its ink
    is.

    Source: after Long, Shelhamer and Darrell 2015, section 4.2 (FCN-8s); here the maps are taken
    before their pooling, down to single pixels, and the interpolation is not trained.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.enlarge = _interpolation(2)
        self.scores = nn.ModuleList(nn.Conv2d(inputs, classes, 1) for inputs in channels)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, coarse: Map, finer: Sequence[Float[Tensor, "batch _ _ _"]]) -> Pixels:
        """`finer` has a map of twice the size for each of `channels`, the finest first."""
        scores = coarse
        for layer, features in zip(reversed(self.scores), reversed(finer), strict=True):
            scores = self.enlarge(scores) + layer(features)
        return scores


def dense(network: FullyConvolutional) -> DenseNetwork:
    """The coarse map, upsampled: each pixel's scores lie between those of the nearest cells."""
    return DenseNetwork(network, _interpolation(receptive_field(network).stride))


def dilated(network: DenseNetwork) -> DenseNetwork:
    """The same weights with a cell for each pixel; see `conversion.dilate`. For inference alone.

    A receptive field of even size has no middle pixel: the scores are those half a pixel further.

    Raises:
        ValueError: the network has a cell for each pixel already.
    """
    if not isinstance(network.upsample, nn.Upsample):
        raise ValueError("this head has a cell for each pixel already")
    return DenseNetwork(dilate(network.network), nn.Identity()).train(network.training)


def classifier_config(config: FCNConfig) -> RunConfig:
    """The classifier whose layers a detector has, as it is built; how it is trained is open.

    A small-cnn has convolutions without padding: each cell's answer is exactly the classifier's
    for the window that it looks at.
    """
    names = ("data", "model", "width", "seed")
    same = {name: getattr(config, name) for name in names}
    return RunConfig(**same, unpadded=config.model == "small-cnn", dropout=0.0)


def build_detector(config: FCNConfig, classifier: Classifier | None = None) -> DenseNetwork:
    """The network that `config` describes.

    Args:
        classifier: where its weights are taken from; by default they are drawn from the seed.
    """
    spec = DATA_SETS[config.data]
    if classifier is None:
        classifier = build_model(classifier_config(config), spec.image_shape, spec.classes)
    network = convolutionalize(classifier, spec.image_shape)
    *hidden, last = network.head
    if config.model == "cnn":  # as its convolutions do; a frame around the image costs half more
        window = hidden[0].kernel_size
        hidden[0].padding = (window[0] // 2, window[1] // 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        last = _with_background(last, config.background)
        if config.head == "deconvolution":
            network.head = nn.Sequential(*hidden)
            stride = receptive_field(network).stride
            return DenseNetwork(network, LearnedUpsampling(last, config.width, stride))
        network.head = nn.Sequential(*hidden, last)
        if config.head == "skip":
            return SkipNetwork(network, SkipScores(_finer_channels(network), last.out_channels))
        return dense(network)


def load_detector(run: Run) -> DenseNetwork:
    """The trained network of a stored detector, in eval mode.

    Raises:
        RunError: the run keeps no weights.
    """
    return run.load_into(build_detector(run.config))


def ready(
    run: Run, *, dilate: bool = False, precision: str | None = None
) -> tuple[DenseNetwork, Execution]:
    """A stored detector where it is computed, and how: by default as it was trained."""
    network = load_detector(run)
    network = dilated(network) if dilate else network
    execution = execution_for(network, precision or run.config.precision)
    return network.to(execution.device, memory_format=execution.memory_format), execution


@torch.no_grad()
def _finer_channels(network: FullyConvolutional) -> list[int]:
    with eval_mode(network):
        _, finer = network.with_finer_maps(torch.zeros(1, 1, DIGIT_SIDE, DIGIT_SIDE))
    return [features.shape[1] for features in finer]


def _with_background(last: nn.Conv2d, background: bool) -> nn.Conv2d:
    """The last layer with one more class, whose weights begin at zero."""
    if not background:
        return last
    wider = nn.Conv2d(last.in_channels, last.out_channels + 1, last.kernel_size)
    with torch.no_grad():
        for new, old in ((wider.weight, last.weight), (wider.bias, last.bias)):
            new.zero_()[: len(old)].copy_(old)
    return wider


def _interpolation(stride: int) -> nn.Module:
    return nn.Upsample(scale_factor=stride, mode="bilinear", align_corners=False)
