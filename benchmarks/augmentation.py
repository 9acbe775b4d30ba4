"""Flip and crop 4,096 CIFAR-sized images: a DataLoader over PIL images, and the Augmenter."""

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.timing import compare
from labutils.data.augmentation import Augmenter
from labutils.models.blocks import Normalize

IMAGES = torch.randint(0, 256, (4096, 3, 32, 32), dtype=torch.uint8)
BATCH = 128
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


class Pictures(Dataset):
    """What the usual tutorial does: one PIL image at a time through torchvision's transforms."""

    def __init__(self) -> None:
        to_pil = transforms.ToPILImage()
        self.pictures = [to_pil(image) for image in IMAGES]
        self.transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomCrop(32, padding=4),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(self.pictures[index])


def main() -> None:
    torch.set_num_threads(1)
    loader = DataLoader(Pictures(), batch_size=BATCH, shuffle=True)
    augmenter = Augmenter(IMAGES, flip=True, crop_padding=4)
    normalize = Normalize(torch.tensor(MEAN), torch.tensor(STD))
    generator = torch.Generator().manual_seed(0)

    def with_loader() -> None:
        for _ in loader:
            pass

    def with_augmenter() -> None:
        for indices in torch.randperm(len(IMAGES), generator=generator).split(BATCH):
            normalize(augmenter(indices, generator))

    question = "Augmented batches, DataLoader over PIL images / Augmenter"
    compare("augmentation", question, with_loader, with_augmenter)


if __name__ == "__main__":
    main()
