"""A classifier asked about every window of a canvas, and the same weights sliding over it."""

import torch

from benchmarks.timing import compare
from labutils.config import FCNConfig
from labutils.fcn.conversion import convolutionalize, dilate
from labutils.fcn.networks import classifier_config
from labutils.fcn.windows import slide_classifier
from labutils.models import build_model

SIDE = 28


def main() -> None:
    config = classifier_config(FCNConfig(model="small-cnn"))
    classifier = build_model(config, (1, SIDE, SIDE), 10).eval()
    network = convolutionalize(classifier, (1, SIDE, SIDE)).eval()
    canvases = torch.randint(0, 256, (4, 1, 96, 96), dtype=torch.uint8)
    # stride 2: the dilated network answers at every pixel, of which every second counts
    for stride, dense in ((4, network), (2, dilate(network)), (1, dilate(network))):

        @torch.no_grad()
        def sliding(dense: torch.nn.Module = dense) -> torch.Tensor:
            return dense(canvases)

        def windows(stride: int = stride) -> torch.Tensor:
            return slide_classifier(classifier, canvases, side=SIDE, stride=stride)

        question = f"Windows of {SIDE} pixels, {stride} apart, one by one / sliding network"
        compare(f"windows-{stride}", question, windows, sliding, 5)


if __name__ == "__main__":
    main()
