"""Looking into a network as it runs: its layers' maps, with nothing left behind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from labutils.models.modes import eval_mode
from labutils.training.evaluation import runnable
from labutils.training.execution import device_of, execution_for

Images = Shaped[Tensor, "batch channels height width"]
PixelMaps = Float[Tensor, "batch height width"]
CellMaps = Float[Tensor, "batch rows columns"]
Hook = Callable[[nn.Module, tuple, Any], Any]


@contextmanager
def watching(network: nn.Module, hooks: Mapping[nn.Module, Hook]) -> Iterator[None]:
    """Forward hooks inside the block, in eval mode, without gradients; a hook may switch them on.

    Afterwards, also after an error, all is as it was: hooks, modes, buffers and gradient mode.
    """
    buffers = [
        (module._buffers, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        # within inference mode nothing can be differentiated
        with ExitStack() as hooked, eval_mode(network), torch.inference_mode(False):
            for module, hook in hooks.items():
                hooked.enter_context(module.register_forward_hook(hook))
            with torch.no_grad():
                yield
    finally:
        with torch.no_grad():
            for owner, name, buffer, value in buffers:
                owner[name] = buffer.copy_(value)


def prepare(network: nn.Module, images: Tensor) -> tuple[nn.Module, Tensor]:
    """The network without its compilation, and a copy of the images that it can take.

    They go to the network's device and precision; bytes become floats from 0 to 1 where the network
    does not normalise bytes itself.

    Raises:
        ValueError: images that are no batch or not finite, or a network that cannot be watched.
    """
    network = getattr(network, "_orig_mod", network)  # what torch.compile was given
    if isinstance(network, torch.jit.ScriptModule):
        raise ValueError("a scripted network cannot be watched: give the one that was scripted")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"images of shape {tuple(images.shape)}: expected a batch of (images, channels, "
            "height, width); one image is images[None]"
        )
    if not torch.isfinite(images).all():
        wrong = (~torch.isfinite(images)).flatten(1).any(1).nonzero().flatten().tolist()
        raise ValueError(f"not finite: images {wrong} of the batch; leave them out or repair them")
    if any(tensor.is_inference() for tensor in (*network.parameters(), *network.buffers())):
        raise ValueError(
            "the network was made in torch.inference_mode, where nothing can be differentiated: "
            "make or load it outside, or give copy.deepcopy(network), made outside"
        )
    with watching(network, {}):
        execution = runnable(network, execution_for(network, device=device_of(network)), images)
        return network, execution.place(images)


def map_layers(network: nn.Module, images: Tensor) -> dict[str, tuple[int, int, int]]:
    """Layers whose output is a map, in the order in which they finish: channels, rows, columns.

    Maps of one cell and layers that run more than once in a pass do not count.
    """
    network, batch = prepare(network, images[:1])
    names = {module: name for name, module in network.named_modules() if name}
    found: dict[str, list[tuple[int, int, int]]] = {}

    def record(module: nn.Module, args: tuple, output: Any) -> None:
        shape = tuple(output.shape[1:]) if is_map(output) else ()
        found.setdefault(names[module], []).append(shape)

    with watching(network, dict.fromkeys(names, record)):
        network(batch)
    return {name: shapes[0] for name, shapes in found.items() if len(shapes) == 1 and shapes[0]}


def is_map(output: Any) -> bool:
    """Whether it is a tensor (batch, channels, rows, columns) of more than one cell."""
    return isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1


def find_layer(network: nn.Module, images: Tensor, name: str | None) -> str:
    """The name, once it is known that the network has such a layer; by default the last map's.

    Raises:
        ValueError: there is no such layer, or no layer at all that gives a map.
    """
    if name is not None:
        if name not in dict(network.named_modules(remove_duplicate=False)) or not name:
            raise _no_map(network, images, f"the network has no layer {name!r}")
        return name
    layers = list(map_layers(network, images))
    if not layers:
        raise ValueError(
            "no layer of the network gives a map: expected one that returns a tensor (batch, "
            "channels, rows, columns) of more than one cell; are the images too small?"
        )
    return layers[-1]


def only_map(network: nn.Module, images: Tensor, layer: str, outputs: Sequence[Any]) -> Tensor:
    """What a layer gave in a pass.

    Raises:
        ValueError: it gave no map, or several.
    """
    if len(outputs) != 1:
        raise _no_map(network, images, f"layer {layer!r} runs {len(outputs)} times in a pass")
    if not is_map(outputs[0]):
        raise _no_map(network, images, f"layer {layer!r} gives no map")
    return outputs[0]


def _no_map(network: nn.Module, images: Tensor, complaint: str) -> ValueError:
    """An error that lists the layers that give maps."""
    names = ", ".join(map_layers(network, images)) or "none"
    return ValueError(f"{complaint}: expected a layer that gives a map once in a pass: {names}")
