"""A linear SVM on the features of 4,500 images: libsvm's and liblinear's, time and accuracy.

The features are pixels of built-in shapes, averaged to 8x8: as many as the last layer of a network
may have, and not quite separable.
"""

import torch.nn.functional as F
from sklearn.base import ClassifierMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.timing import compare
from labutils import data
from labutils.transfer.probes import pipeline

C = 1e-3


def main() -> None:
    shapes = data.load("shapes10")
    parts = [
        (F.adaptive_avg_pool2d(part.images.float(), 8).flatten(1).numpy(), part.labels.numpy())
        for part in (shapes.train, shapes.test)
    ]
    accuracy: dict[str, float] = {}

    def fit(name: str, classifier: ClassifierMixin) -> None:
        accuracy[name] = classifier.fit(*parts[0]).score(*parts[1])

    compare(
        "svm",
        f"Linear SVM on {len(parts[0][0]):,} images, libsvm / liblinear",
        lambda: fit("libsvm", make_pipeline(StandardScaler(), SVC(kernel="linear", C=C))),
        lambda: fit("liblinear", pipeline("svm", C)),
        pairs=3,
        beside=accuracy,
    )


if __name__ == "__main__":
    main()
