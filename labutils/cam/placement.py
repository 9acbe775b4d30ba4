"""Where in the image each cell of a map looks, and maps drawn there."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from labutils.cam import layers
from labutils.cam.layers import CellMaps, Images, PixelMaps
from labutils.cam.maps import Maps
from labutils.models.receptive_field import PIXELS, Geometry

aten = torch.ops.aten


class Axis(NamedTuple):
    """Centre of cell i: `offset` + i `stride`, in pixels; that of the first pixel is 0."""

    stride: float
    offset: float


class Cells(NamedTuple):
    """Where the cells of a map look."""

    rows: Axis
    columns: Axis


def at_pixels(
    network: nn.Module, images: Images, maps: Maps, placement: str = "receptive-field"
) -> PixelMaps:
    """The maps at each pixel of their images.

    Args:
        placement: "receptive-field" puts each cell where it looks; "resize" spreads the cells
            evenly over the image, as the common libraries do.
    """
    size = tuple(images.shape[2:])
    if placement == "resize":
        cells = spread_evenly(maps.values.shape[1:], size)
    elif placement == "receptive-field":
        cells = locate_cells(network, images, maps.layer)
    else:
        raise ValueError(f"placement {placement!r}: expected 'receptive-field' or 'resize'")
    return upsample(maps.values, cells, size)


def upsample(values: CellMaps, cells: Cells, size: tuple[int, int]) -> PixelMaps:
    """Linear interpolation between the centres of cells; beyond the outer ones values stay."""
    rows, columns = (
        _weights(axis, count, pixels).to(values)
        for axis, count, pixels in zip(cells, values.shape[1:], size, strict=True)
    )
    return rows @ values @ columns.T


def _weights(axis: Axis, cells: int, pixels: int) -> Float[Tensor, "pixels cells"]:
    """Share of each cell in each pixel."""
    position = (torch.arange(pixels, dtype=torch.float64) - axis.offset) / axis.stride
    position = position.clamp(0, cells - 1)
    return (1 - (position[:, None] - torch.arange(cells)).abs()).clamp_min(0)


def spread_evenly(cells: Sequence[int], size: tuple[int, int]) -> Cells:
    """Where a bilinear resize puts the cells."""
    strides = [pixels / count for pixels, count in zip(size, cells, strict=True)]
    return Cells(*(Axis(stride, (stride - 1) / 2) for stride in strides))


def locate_cells(network: nn.Module, images: Images, layer: str) -> Cells:
    """Where the cells of a layer's map look, for images of this size.

    By the arithmetic of receptive fields, over the operations that one image runs through. Where
    it does not know one of them the centres are measured, by `measure_cells`.

    Raises:
        ValueError: there is no such layer, or it gives no map.
    """
    network, batch = layers.prepare(network, images[:1])
    layers.find_layer(network, images, layer)
    tracer = _Tracer(batch)
    outputs: list[Any] = []
    places: list[tuple[Geometry, Geometry] | None] = []

    def record(module: nn.Module, args: tuple, output: Any) -> None:
        outputs.append(output)
        places.append(tracer.known.get(output) if layers.is_map(output) else None)

    with layers.watching(network, {network.get_submodule(layer): record}), tracer:
        network(batch)
    layers.only_map(network, images, layer, outputs)
    if places[0] is None:
        return measure_cells(network, images, layer)
    return Cells(*(Axis(geometry.stride, geometry.offset) for geometry in places[0]))


class _Tracer(TorchDispatchMode):
    """Follows where the cells of each tensor look, operation by operation, rows and columns.

    Operations that keep the size of a map are taken to keep its places. Of several inputs the
    largest receptive field counts, and the mean of the places: the paths of a block may differ.
    """

    def __init__(self, images: Images) -> None:
        super().__init__()
        self.known = WeakTensorKeyDictionary()
        self.known[images] = (PIXELS, PIXELS)

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        inputs = [x for x in tree_leaves(args) if isinstance(x, Tensor) and x in self.known]
        outputs = [x for x in tree_leaves(result) if isinstance(x, Tensor) and x.ndim == 4]
        if inputs and outputs:
            windows = _windows(operation, args)
            if windows is None:
                inputs = [x for x in inputs if x.shape[2:] == outputs[0].shape[2:]]
                windows = ((1,), (1,))
            if inputs:
                axes = map(_together, zip(*(self.known[x] for x in inputs), strict=True))
                moved = tuple(axis.after(*one) for axis, one in zip(axes, windows, strict=True))
                for output in outputs:
                    self.known[output] = moved
        return result


def _together(paths: Sequence[Geometry]) -> Geometry:
    widest = max(paths, key=lambda path: path.size)
    offsets = [path.offset for path in paths if path.stride == widest.stride]
    return widest._replace(offset=sum(offsets) / len(offsets))


def _windows(operation: Any, args: tuple) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Kernel, stride, padding, dilation of an operation that slides, for rows and columns."""
    given = dict(enumerate(args))
    if operation == aten.convolution.default:
        kernel, (stride, padding, dilation, transposed) = args[1].shape[2:], args[3:7]
        return None if transposed else _axes(kernel, stride, padding, dilation)
    if operation == aten.max_pool2d_with_indices.default:
        return _axes(args[1], given.get(2) or args[1], given.get(3, 0), given.get(4, 1))
    if operation == aten.avg_pool2d.default:
        return _axes(args[1], given.get(2) or args[1], given.get(3, 0), 1)
    if operation in (aten._adaptive_avg_pool2d.default, aten.adaptive_max_pool2d.default):
        sizes = zip(args[0].shape[2:], args[1], strict=True)
        kernel = [side // cells if side % cells == 0 else 0 for side, cells in sizes]
        return _axes(kernel, kernel, 0, 1) if all(kernel) else None
    if operation in (
        aten.constant_pad_nd.default,
        aten.reflection_pad2d.default,
        aten.replication_pad2d.default,
    ):
        left, _, top, _ = (*args[1], 0, 0)[:4]
        return _axes(1, 1, (top, left), 1)
    if operation == aten.slice.Tensor and given.get(1, 0) in (2, 3):
        start = given.get(2) or 0
        start += args[0].shape[args[1]] if start < 0 else 0
        moved = (1, given.get(4, 1), -start)
        return (moved, (1,)) if args[1] == 2 else ((1,), moved)
    return None


def _axes(*sides: int | Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    pairs = [(side, side) if isinstance(side, int) else (side[0], side[-1]) for side in sides]
    return tuple(zip(*pairs, strict=True))


def measure_cells(network: nn.Module, images: Images, layer: str) -> Cells:
    """Where the cells of a layer's map look, from the gradients of cells in the middle of the map.

    The centre of a cell is the centre of gravity of its squared gradient with respect to images of
    noise, and a line through the centres is fitted. Where that says nothing, because there are no
    gradients or the line's stride is not within a half of an even one, cells are spread evenly.
    """
    size, kept = images.shape[2:], []
    count = max(1, min(8, 2**20 // size.numel()))  # of a large image one is enough, and fits
    noise = torch.rand(count, *images.shape[1:], generator=torch.Generator().manual_seed(0))
    network, batch = layers.prepare(network, noise)
    hook = {network.get_submodule(layer): lambda module, args, output: kept.append(output.clone())}
    with layers.watching(network, hook), torch.enable_grad():
        network(batch.requires_grad_().clone())  # it may work on its input in place
        (feature_map,) = kept
        sides = feature_map.shape[2:]
        evenly = spread_evenly(sides, size)
        if not feature_map.requires_grad:
            return evenly
        count = max(2, min(sides) // 2)
        at = [
            torch.linspace(side // 4, -(-3 * side // 4) - 1, count).round().long() for side in sides
        ]
        centres = torch.stack(
            [_centre(feature_map, batch, *cell) for cell in zip(*at, strict=True)]
        )
    return Cells(*map(_line, at, centres.T, evenly))


def _centre(feature_map: Tensor, batch: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Row and column of the pixels that a cell depends on."""
    score = feature_map[:, :, row, column].square().sum()
    (gradient,) = torch.autograd.grad(score, batch, retain_graph=True)
    weight = gradient.double().square().sum((0, 1)).cpu()
    sides = (weight.sum(1), weight.sum(0))
    return torch.stack([side @ torch.arange(len(side)).double() / side.sum() for side in sides])


def _line(at: Tensor, centres: Tensor, even: Axis) -> Axis:
    """Least squares; `even` where its stride is far off, or nan as of a single cell."""
    away = at - at.double().mean()
    stride = (away @ centres / (away @ away)).item()
    if abs(stride / even.stride - 1) <= 0.5:
        return Axis(stride, (centres.mean() - stride * at.double().mean()).item())
    return even
