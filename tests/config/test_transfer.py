from dataclasses import replace

import pytest

from labutils.config import ConfigError, DistillConfig, TransferConfig
from labutils.runs.store import CONFIGS

NETWORK = {"model": "strong", "residual": True, "init": "partial-identity"}
FINE_TUNING = TransferConfig(data="cifar100", **NETWORK, source="0123abcd")
STUDENT = DistillConfig(data="cifar10", model="resnet", residual=True)


@pytest.mark.parametrize(
    "config",
    [
        replace(FINE_TUNING, trained="last-two", labels_per_class=22, draw=3),
        replace(STUDENT, teacher="0123abcd", temperature=4, soft_weight=0.5),
    ],
)
def test_read_back_as_the_same_run(config):
    again = CONFIGS[config.kind].from_dict(config.to_dict())
    assert again == config and again.id == config.id and again.starts_from == "0123abcd"


def test_every_new_field_changes_the_id():
    soft = replace(STUDENT, teacher="0123abcd", soft_weight=0.5)
    budget = replace(FINE_TUNING, labels_per_class=22)
    variants = [
        FINE_TUNING, replace(FINE_TUNING, source=""), replace(FINE_TUNING, trained="last-two"),
        budget, replace(budget, draw=1), STUDENT, soft, replace(soft, soft_weight=0.9),
        replace(soft, temperature=4.0), replace(soft, teacher="4567cdef"),
    ]  # fmt: skip
    assert len({config.id for config in variants}) == len(variants)


@pytest.mark.parametrize(
    ("base", "changed", "message"),
    [
        (FINE_TUNING, {"trained": "first"}, "choose one of head, last-block"),
        (FINE_TUNING, {"source": "", "trained": "head"}, "from scratch"),
        (FINE_TUNING, {"draw": 1}, "labels_per_class"),
        (FINE_TUNING, {"labels_per_class": 0}, "at least 1"),
        (
            replace(FINE_TUNING, optimizer="muon", bias_learning_rate=1, head_learning_rate=1),
            {"trained": "head"},
            "muon trains filters",
        ),
        (STUDENT, {"teacher": "0123abcd"}, "teacher and soft_weight go together"),
        (STUDENT, {"soft_weight": 0.5}, "teacher and soft_weight go together"),
        (STUDENT, {"temperature": 4}, "temperature is for"),
        (STUDENT, {"temperature": 0}, "more than 0"),
        (STUDENT, {"soft_weight": 1.5, "teacher": "0123abcd"}, "at most 1"),
    ],
)
def test_refused(base, changed, message):
    with pytest.raises(ConfigError, match=message):
        replace(base, **changed)


def test_a_network_without_blocks_is_refused():
    with pytest.raises(ConfigError, match="has no blocks"):
        TransferConfig(model="cnn", source="0123abcd")


def test_folder_names_say_what_is_trained():
    assert FINE_TUNING.label == "cifar100-strong9-everything-s0"
    scratch = replace(FINE_TUNING, source="", labels_per_class=22, seed=1)
    assert scratch.label == "cifar100-strong9-scratch-22-s1"
    soft = replace(STUDENT, teacher="0123abcd", temperature=4, soft_weight=0.9)
    assert soft.label == "cifar10-resnet20-soft-t4-s0"
    assert replace(STUDENT, label_smoothing=0.1).label == "cifar10-resnet20-hard-smoothed-s0"
