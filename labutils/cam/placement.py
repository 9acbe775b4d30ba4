"""Where in the image each cell of a map looks, and maps drawn there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from labutils.cam.layers import Images, find_layer, is_map, no_map, prepare, watching
from labutils.cam.maps import Maps
from labutils.models.receptive_field import PIXELS, Geometry

Values = Float[Tensor, "batch rows columns"]
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
) -> Float[Tensor, "batch height width"]:
    """The maps at each pixel of their images.

    Args:
        placement: "receptive-field" puts each cell where it looks; "resize" spreads the cells
            evenly over the image, as the common libraries do.
    """
    size = images.shape[2], images.shape[3]
    if placement == "resize":
        cells = spread_evenly(maps.values.shape[1:], size)
    elif placement == "receptive-field":
        cells = locate_cells(network, images, maps.layer)
    else:
        raise ValueError(f"placement {placement!r}: expected 'receptive-field' or 'resize'")
    return upsample(maps.values, cells, size)


def upsample(
    values: Values, cells: Cells, size: tuple[int, int]
) -> Float[Tensor, "batch height width"]:
    """Linear interpolation between the centres of cells; beyond the outer ones values stay.

    Args:
        size: height and width of the images in pixels.
    """
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

    The arithmetic of receptive fields, over the operations that one image runs through. Where it
    does not know one of them the centres are measured, by the gradient of cells.

    Raises:
        ValueError: there is no such layer, or it gives no map.
    """
    network, batch = prepare(network, images[:1])
    find_layer(network, images, layer)
    tracer = _Tracer(batch)
    found: list[tuple[Geometry, Geometry] | None] = []

    def record(module: nn.Module, args: tuple, output: Any) -> None:
        if is_map(output):
            found.append(tracer.known.get(output))

    with watching(network, {network.get_submodule(layer): record}), tracer:
        network(batch)
    if len(found) != 1:
        raise no_map(network, images, f"layer {layer!r} gives {len(found)} maps in a pass")
    if found[0] is None:
        return measure_cells(network, images, layer)
    return Cells(*(Axis(geometry.stride, geometry.offset) for geometry in found[0]))


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
        moved = (1, given.get(4, 1), -(given.get(2) or 0))
        return (moved, (1,)) if args[1] == 2 else ((1,), moved)
    return None


def _axes(*sides: int | Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    pairs = [(side, side) if isinstance(side, int) else (side[0], side[-1]) for side in sides]
    return tuple(zip(*pairs, strict=True))


def measure_cells(network: nn.Module, images: Images, layer: str, count: int = 8) -> Cells:
    """Where the cells of a layer's map look, from the gradients of cells in the middle of the map.

    The centre of a cell is the centre of gravity of its squared gradient with respect to `count`
    images of noise, and a line through the centres is fitted. Cells are spread evenly where that
    says nothing: there are fewer than two, they have no gradient, or the line's stride is not
    within a half of an even one.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(count, *images.shape[1:], generator=generator)
    network, batch = prepare(network, noise)
    kept: list[Tensor] = []
    target = network.get_submodule(layer)
    with watching(network, {target: lambda module, args, output: kept.append(output.clone())}):
        with torch.enable_grad():
            network(batch.requires_grad_())
            cells = kept[0].shape[2:]
            evenly = spread_evenly(cells, batch.shape[2:])
            fitted = [_fitted(kept[0], batch, number) for number in (0, 1)]
    plausible = [
        line is not None and abs(line.stride / axis.stride - 1) <= 0.5
        for line, axis in zip(fitted, evenly, strict=True)
    ]
    return Cells(*(fitted[n] if plausible[n] else evenly[n] for n in (0, 1)))


def _fitted(feature_map: Tensor, batch: Tensor, number: int) -> Axis | None:
    """Line through the centres of the cells in the middle of the rows (0) or columns (1)."""
    sides = feature_map.shape[2:]
    first, last = sides[number] // 4, -(-3 * sides[number] // 4)
    at = torch.arange(first, last).unique()
    other = sides[1 - number] // 2
    centres = []
    for cell in at.tolist():
        here = (cell, other) if number == 0 else (other, cell)
        score = feature_map[:, :, here[0], here[1]].square().sum()
        if not score.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(score, batch, retain_graph=True)
        weight = gradient.double().square().sum((0, 1)).sum(1 - number)
        centres.append((weight @ torch.arange(len(weight)).to(weight) / weight.sum()).cpu())
    centre = torch.stack(centres)
    if len(at) < 2 or not torch.isfinite(centre).all():
        return None
    line = torch.stack([at.double(), torch.ones(len(at)).double()], 1)
    stride, offset = torch.linalg.lstsq(line, centre[:, None].double()).solution.flatten().tolist()
    return Axis(stride, offset)
