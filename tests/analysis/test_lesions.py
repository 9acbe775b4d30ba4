import pytest
import torch
from torch import nn

from labutils import data
from labutils.analysis import lesions
from labutils.analysis.lesions import (
    deleted,
    deletion_curves,
    removable_blocks,
    single_deletions,
    swap_groups,
    swapped,
    swaps,
)
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
from labutils.training.evaluation import evaluate

SHAPE = (3, 8, 8)
CONFIGS = {
    "mlp": RunConfig(depth=10, width=6, residual=True),
    "convnet": RunConfig(model="convnet", depth=8, width=4),
    "resnet": RunConfig(model="resnet", depth=20, width=4, residual=True),
    "plain-resnet": RunConfig(model="resnet", depth=20, width=4),
    "strong": RunConfig(model="strong", width=4, residual=True),
}
REMOVABLE = {"mlp": 4, "convnet": 3, "resnet": 7, "plain-resnet": 7, "strong": 3}
every_config = pytest.mark.parametrize("name", CONFIGS)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, *SHAPE), generator=generator, dtype=torch.uint8)
    return images, torch.randint(0, 4, (40,), generator=generator)


def accuracy_on(batch):
    return lambda model: evaluate(model, *batch).accuracy


def build(name):
    """Weights large enough that each block matters to the logits."""
    model = build_model(CONFIGS[name], SHAPE, 4).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    return model


@every_config
def test_blocks_that_keep_the_shape_can_be_deleted(name):
    blocks = removable_blocks(build(name))
    assert len(blocks) == REMOVABLE[name]
    assert all(isinstance(block.shortcut, nn.Identity) for block in blocks.values())


@every_config
def test_of_a_deleted_block_the_skip_stays_if_it_has_one(name, batch):
    model = build(name)
    block_name, block = list(removable_blocks(model).items())[1]
    expected = model(batch[0])
    if block.residual:  # nothing is added to the skip
        handle = block.norm2.register_forward_hook(lambda m, inputs, output: 0 * output)
    else:
        handle = block.register_forward_hook(lambda m, inputs, output: inputs[0])
    by_hand = model(batch[0])
    handle.remove()
    with deleted(model, [block_name]):
        assert torch.equal(model(batch[0]), by_hand)
    assert not torch.equal(by_hand, expected)
    assert torch.equal(model(batch[0]), expected)
    assert dict(model.named_modules())[block_name] is block


def test_a_network_without_any_removable_block_is_stem_and_head(batch):
    model = build("mlp")
    with deleted(model, list(removable_blocks(model))):
        assert torch.equal(model(batch[0]), model.head(model.stem(model.normalize(batch[0]))))


def test_swapped_blocks_are_applied_in_the_other_order(batch):
    model = build("resnet")
    blocks = model.blocks
    expected = model(batch[0])
    x = model.stem(model.normalize(batch[0]))
    for number in (2, 1, 0, *range(3, 9)):
        x = blocks[number](x)
    with swapped(model, "blocks.0", "blocks.2"):
        assert torch.equal(model(batch[0]), model.head(x))
    assert torch.equal(model(batch[0]), expected)


def test_all_is_as_it_was_even_after_an_error(batch):
    model = build("resnet")
    expected = model(batch[0])
    for lesion in (
        deleted(model, ["blocks.0", "blocks.4"]),
        swapped(model, "blocks.0", "blocks.1"),
    ):
        with pytest.raises(KeyboardInterrupt), lesion:
            assert not torch.equal(model(batch[0]), expected)
            raise KeyboardInterrupt
        assert torch.equal(model(batch[0]), expected)


def test_what_cannot_be_lesioned_is_refused_with_what_can(batch):
    model = build("resnet")
    with pytest.raises(ValueError, match=r"blocks.3, stem cannot be deleted.*blocks.0, blocks.1"):
        with deleted(model, ["blocks.0", "blocks.3", "stem"]):
            pass
    with pytest.raises(ValueError, match="different shapes: swap blocks of one stage"):
        with swapped(model, "blocks.0", "blocks.4"):
            pass
    with pytest.raises(ValueError, match="has no such block"):
        with deleted(nn.Linear(2, 2), ["weight"]):
            pass


def test_curves_start_whole_and_end_without_blocks(batch):
    model, score = build("resnet"), accuracy_on(batch)
    curves = deletion_curves(model, score, orders=3, seed=1)
    assert [len(curve) for curve in curves] == [8, 8, 8]
    whole = evaluate(model, *batch).accuracy
    with deleted(model, list(removable_blocks(model))):
        bare = evaluate(model, *batch).accuracy
    assert {curve[0] for curve in curves} == {whole} and {curve[-1] for curve in curves} == {bare}
    assert curves != deletion_curves(model, score, orders=3, seed=2)
    assert curves == deletion_curves(model, score, orders=3, seed=1)
    firsts = single_deletions(model, score)
    assert list(firsts) == list(removable_blocks(model))
    assert {curve[1] for curve in curves} <= set(firsts.values())


def test_swaps_are_those_of_one_stage(batch):
    model, score = build("resnet"), accuracy_on(batch)
    found = swaps(model, score)
    assert len(found) == 3 + 1 + 1  # stages with 3, 2 and 2 blocks that keep the shape
    for pair in found:
        with swapped(model, pair["first"], pair["second"]):
            assert pair["accuracy"] == evaluate(model, *batch).accuracy
    assert [pair["distance"] for pair in found] == [1, 2, 1, 1, 1]


def test_swaps_are_grouped_by_stage(batch):
    model, score = build("resnet"), accuracy_on(batch)
    found = {"single": single_deletions(model, score), "swaps": swaps(model, score)}
    groups = swap_groups(found)
    assert {key: len(pairs) for key, pairs in groups.items()} == {(1, 3): 3, (4, 5): 1, (6, 7): 1}
    names = list(removable_blocks(model))
    for (first, last), pairs in groups.items():
        inside = set(names[first - 1 : last])
        assert {pair[end] for pair in pairs for end in ("first", "second")} == inside


def test_lesions_of_a_run_are_measured_on_validation_images_and_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(lesions, "IMAGES", 30)
    monkeypatch.setattr(lesions, "ORDERS", 2)
    config = RunConfig(data="digits", depth=8, width=6, residual=True, norm="batch", epochs=1)
    store = Store(tmp_path / "runs", tmp_path / "scratch")
    run = load_or_train(config, store=store, keep="fp32", progress=False)
    found = lesions.lesions_of(run)
    val = data.load("digits").val
    batch = val.images[:30], val.labels[:30]
    whole = evaluate(run.model(), *batch).accuracy
    assert [len(curve) for curve in found["deletions"]] == [4, 4]
    assert all(curve[0] == pytest.approx(whole) for curve in found["deletions"])
    assert found["single"] == pytest.approx(single_deletions(run.model(), accuracy_on(batch)))
    assert sorted(swap["distance"] for swap in found["swaps"]) == [1, 1, 2]
    own = found["own_statistics"]
    model = run.model().train()  # batch norm uses the statistics of what it is given
    with torch.no_grad():
        right = (model(batch[0]).argmax(1) == batch[1]).float().mean().item()
        with deleted(model, ["blocks.1"]):
            without = (model(batch[0]).argmax(1) == batch[1]).float().mean().item()
    assert [curve[0] for curve in own["deletions"]] == pytest.approx([right] * 2)
    assert own["single"]["blocks.1"] == pytest.approx(without)
    assert own["single"] != found["single"]
    monkeypatch.setattr(lesions, "_scores", None)
    assert lesions.lesions_of(run) == found


def test_few_blocks_are_deleted_in_every_order_once(batch):
    model, score = build("strong"), accuracy_on(batch)
    curves = deletion_curves(model, score, orders=8)
    assert len(curves) == 6, "three blocks"
    firsts = list(single_deletions(model, score).values())
    assert sorted(curve[1] for curve in curves) == sorted(2 * firsts)
    assert len(deletion_curves(model, score, orders=5)) == 5
