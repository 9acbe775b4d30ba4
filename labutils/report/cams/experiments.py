"""Exercise 3: networks whose maps can be held against the truth. None of them sees a mask."""

from dataclasses import replace

from labutils.cam.kinds import GRADIENT, Kind
from labutils.config import RunConfig
from labutils.report.records import experiment, seeded

NETWORK = RunConfig(
    data="shapes10", model="resnet", depth=14, width=16, residual=True,
    optimizer="sgd", learning_rate=0.1, weight_decay=5e-4, schedule="one-cycle",
    crop_padding=2, epochs=20, precision="bf16",
)  # fmt: skip
MARKED = replace(NETWORK, data="shapes10-marked")


@experiment("cam-shapes", varies=("seed",), keep="fp16")
def shapes() -> list[RunConfig]:
    """Exercise 3: small residual networks on shapes whose exact masks are known."""
    return seeded([NETWORK])


@experiment("cam-canvases", varies=("seed",), keep="fp16")
def on_canvases() -> list[RunConfig]:
    """Exercise 3: the same on 64x64 canvases of one digit with clutter."""
    return seeded([replace(NETWORK, data="mnist-canvases", epochs=6)])


@experiment("cam-flatten", varies=("seed",), keep="fp16")
def flattening() -> list[RunConfig]:
    """Exercise 3: convolutions with a linear layer on the whole map instead of its mean."""
    changed = {"model": "convnet", "depth": 10, "width": 32, "norm": "batch", "stem_stride": 4}
    return seeded([replace(NETWORK, **changed)])


@experiment("cam-resolution", varies=("stem_stride", "stages"), keep="fp16")
def resolutions() -> list[RunConfig]:
    """Exercise 3: last maps of 4x4 and 16x16 cells, beside the 8x8 of the others. One seed."""
    return [replace(NETWORK, stem_stride=2), replace(NETWORK, stages=2)]


@experiment("cam-marked", varies=("data", "seed"), keep="fp16")
def marked() -> list[RunConfig]:
    """Exercise 3: shapes with a mark that gives one class away, and with one that does not."""
    return seeded([MARKED]) + seeded([replace(MARKED, data="shapes10-marked-evenly")])


IMAGES = {"full": 1_000, "quick": 50}  # that maps are measured on, by profile
# Where the last map is averaged, CAM, Grad-CAM, HiResCAM and XGrad-CAM are one map: one row.
LAST = [Kind(method) for method in ("grad-cam", "grad-cam++", "layercam")]
DISTINCT = ("grad-cam", "grad-cam++", "hirescam", "layercam", "xgrad-cam")
FINER = [Kind(method, "finer") for method in DISTINCT]
CONTROLS = [Kind(method) for method in (GRADIENT, "edges", "centred Gaussian", "random")]
RESIZED = [Kind("grad-cam", layer, "resize") for layer in ("last", "finer")]
KINDS = [*LAST, *FINER, *CONTROLS]
WITH_RESIZED = [*LAST, *FINER, *RESIZED, *CONTROLS]
FLATTENED = [*(Kind(method) for method in DISTINCT), *CONTROLS]
# Those that ask the network.
OF_NETWORK = [*LAST, *FINER, Kind(GRADIENT)]
RANDOMISED = [Kind(one, layer) for layer in ("last", "finer") for one in ("grad-cam", "layercam")]
RANDOMISED += [Kind(GRADIENT)]
