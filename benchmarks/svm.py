"""A linear SVM on the features of 4,500 images: libsvm's and liblinear's, time and accuracy.

The features are those of the report: the last map of the strong network, averaged to 2x2, on images
of CIFAR-100. libsvm fits each pair of classes, liblinear each class against the rest.
"""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.timing import compare
from labutils import data
from labutils.config.profiles import profile
from labutils.report.experiments import load
from labutils.transfer.features import Features, extract
from labutils.transfer.probes import pipeline

COUNT, SIDE, C = 4_500, 2, 1e-3


def main() -> None:
    (run,) = load("strong", profile("full"), seed=0)
    model, images = run.model(), data.load("cifar100")
    layer = f"blocks.{len(model.blocks) - 1}"

    def features(split: data.Split) -> tuple:
        few = split.take(slice(COUNT))
        maps = extract(model, few.images, [layer], SIDE, progress=False)
        return Features(maps, few.labels).matrix(), few.labels.numpy()

    train, test = features(images.train), features(images.test)
    accuracy: dict[str, float] = {}

    def libsvm() -> None:
        fitted = make_pipeline(StandardScaler(), SVC(kernel="linear", C=C)).fit(*train)
        accuracy["libsvm"] = fitted.score(*test)

    def liblinear() -> None:
        accuracy["liblinear"] = pipeline("svm", C).fit(*train).score(*test)

    question = f"Linear SVM on {train[0].shape[1]:,} features of {COUNT:,} images of CIFAR-100"
    beside = {"test_accuracy": accuracy}
    compare("svm", f"{question}, libsvm / liblinear", libsvm, liblinear, 3, beside)


if __name__ == "__main__":
    main()
