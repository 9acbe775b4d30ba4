"""A classifier asked about every window of a canvas, and the same weights sliding over it."""

import torch

from benchmarks.timing import compare
from labutils.config.fcn import FCNConfig
from labutils.fcn.conversion import convolutionalize, dilate
from labutils.fcn.networks import classifier_config
from labutils.fcn.windows import slide_classifier
from labutils.models.networks import build_model

SIDE = 28
BATCH = 32


def main() -> None:
    config = classifier_config(FCNConfig(model="small-cnn"))
    classifier = build_model(config, (1, SIDE, SIDE), 10).eval()
    classifier = classifier.to(memory_format=torch.channels_last)
    network = convolutionalize(classifier, (1, SIDE, SIDE)).eval()
    network = network.to(memory_format=torch.channels_last)
    canvases = torch.randint(0, 256, (4, 1, 96, 96), dtype=torch.uint8)
    for stride in (4, 2, 1):
        dense = dilate(network, stride)

        @torch.no_grad()
        def sliding(dense: torch.nn.Module = dense) -> torch.Tensor:
            return dense(canvases)

        def windows(stride: int = stride) -> torch.Tensor:
            # small batches: they stay in the cache, which is the fastest for windows
            return slide_classifier(
                classifier, canvases, side=SIDE, stride=stride, batch_size=BATCH
            )

        question = f"Windows of {SIDE} pixels, {stride} apart, one by one / sliding network"
        compare(f"windows-{stride}", question, windows, sliding, 5)


if __name__ == "__main__":
    main()
