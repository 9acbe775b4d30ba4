from dataclasses import replace

import faults
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save

from labutils import data
from labutils.models.networks import build_model
from labutils.runs.store import weights_digest
from labutils.transfer import features as module
from labutils.transfer.features import Features, cached_features, extract

LAYERS = ["stem", "blocks.1", "blocks.3"]


@pytest.fixture
def model(store, source):
    return store.load(source).model()


@pytest.fixture
def extractions(monkeypatch):
    """How often images were run through a network."""
    calls, original = [], extract

    def spy(*args, **options):
        calls.append(args)
        return original(*args, **options)

    monkeypatch.setattr(module, "extract", spy)
    return calls


def test_features_are_the_pooled_outputs_of_the_layers_in_eval_mode(model, sets):
    images = sets["shapes20"].test.images
    model.train()
    found = extract(model, images, LAYERS, 2, progress=False)
    assert model.training and not model.stem._forward_hooks
    model.eval()
    with torch.no_grad():
        maps = model.stem(model.normalize(images))
        expected = {"stem": maps}
        for number, block in enumerate(model.blocks):
            maps = expected[f"blocks.{number}"] = block(maps)
    for name in LAYERS:
        assert found[name].dtype == torch.float16
        pooled = F.adaptive_avg_pool2d(expected[name], 2)
        torch.testing.assert_close(found[name].float(), pooled, atol=1e-2, rtol=1e-2)


def test_pooled_to_one_they_are_the_input_of_the_linear_head(model, sets):
    images = sets["shapes20"].test.images
    found = Features(extract(model, images, ["blocks.3"], 2, progress=False), torch.arange(20))
    logits = model.head[-1](torch.from_numpy(found.matrix(side=1)))
    with torch.no_grad():
        torch.testing.assert_close(logits, model(images), atol=2e-2, rtol=2e-2)


def test_a_matrix_has_a_row_an_image_and_the_layers_side_by_side():
    maps = {name: torch.randn(6, size, 2, 2).half() for name, size in (("a", 3), ("b", 5))}
    found = Features(maps, torch.arange(6))
    assert found.matrix().shape == (6, 4 * 8)
    assert found.matrix(side=1).shape == (6, 8)
    assert (found.matrix(["b"]) == maps["b"].flatten(1).float().numpy()).all()
    mean = maps["a"].float().mean((2, 3))
    torch.testing.assert_close(torch.from_numpy(found.matrix(["a"], 1)), mean)


def test_few_images_are_those_that_fine_tuning_sees(sets):
    part = sets["shapes20"].train
    found = Features({"pixels": part.images.half()}, part.labels).take(2, draw=3)
    few = sets["shapes20"].with_labels(2, draw=3).train
    assert torch.equal(found.maps["pixels"], few.images.half())
    assert torch.equal(found.labels, few.labels)


@pytest.mark.parametrize("layers", [[], ["blocks.9"]])
def test_layers_that_are_not_there_are_refused(model, sets, layers):
    with pytest.raises(ValueError, match="blocks.3"):
        extract(model, sets["shapes20"].test.images, layers, 2, progress=False)


def test_a_layer_without_a_map_is_refused_and_no_hook_stays(model, sets):
    with pytest.raises(ValueError, match="no map"):
        extract(model, sets["shapes20"].test.images, ["stem", "head"], 2, progress=False)
    assert not any(part._forward_hooks for part in model.modules())


def test_features_are_extracted_once(model, sets, tmp_path, extractions):
    file = tmp_path / "new" / "features.safetensors"
    first = cached_features(model, sets["shapes20"], LAYERS, 2, file)
    again = cached_features(model, sets["shapes20"], LAYERS, 2, file)
    assert len(extractions) == 3 and list(again) == ["train", "val", "test"]
    for part in first:
        assert torch.equal(first[part].labels, getattr(sets["shapes20"], part).labels)
        for name in LAYERS:
            assert torch.equal(first[part].maps[name], again[part].maps[name])
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def other_weights(model, images):
    with torch.no_grad():
        next(model.blocks[3].parameters()).add_(1)
    return model, images, LAYERS, 2


def other_pixel(model, images):
    pixels = images.val.images.clone()
    pixels[3, 0, 5, 7] ^= 1
    return model, replace(images, val=data.Split(pixels, images.val.labels)), LAYERS, 2


CHANGES = {
    "weights": other_weights,
    "pixels": other_pixel,
    "layers": lambda model, images: (model, images, LAYERS[:2], 2),
    "order": lambda model, images: (model, images, LAYERS[::-1], 2),
    "side": lambda model, images: (model, images, LAYERS, 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_stale_features_are_rebuilt(model, sets, tmp_path, extractions, change):
    file = tmp_path / "features.safetensors"
    cached_features(model, sets["shapes20"], LAYERS, 2, file)
    given = change(model, sets["shapes20"])
    found = cached_features(*given, file)
    assert len(extractions) == 6
    expected = extract(given[0], given[1].val.images, given[2], given[3], progress=False)
    assert all(torch.equal(found["val"].maps[name], expected[name]) for name in expected)


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


@pytest.mark.parametrize("damage", [truncated, flipped, lambda content: b"", lambda content: b"{}"])
def test_damaged_features_are_rebuilt(model, sets, tmp_path, extractions, damage):
    file = tmp_path / "features.safetensors"
    first = cached_features(model, sets["shapes20"], LAYERS, 2, file)
    file.write_bytes(damage(file.read_bytes()))
    for _ in range(2):  # rebuilt, then read
        found = cached_features(model, sets["shapes20"], LAYERS, 2, file)
        assert len(extractions) == 6
        assert torch.equal(first["test"].maps["stem"], found["test"].maps["stem"])


def test_no_flipped_bit_of_features_goes_unseen(tmp_path):
    file, key = tmp_path / "features.safetensors", {"weights": "0" * 64, "layers": "stem"}
    tensors = {"train/stem": torch.rand(20, 3, 2, 2).half(), "test/stem": torch.rand(9, 3).half()}
    file.write_bytes(save(tensors, {**key, "content": weights_digest(tensors)}))
    good, rebuilt = module._read(file, key), 0
    for content in faults.flipped(file.read_bytes(), 200):
        file.write_bytes(content)
        found = module._read(file, key)
        rebuilt += found is None
        assert found is None or all(torch.equal(found[name], good[name]) for name in good)
    assert rebuilt > 150


def test_a_network_with_the_same_weights_but_another_file_shares_nothing(sets, source, tmp_path):
    """A cache belongs to a file, so that two networks side by side do not undo one another."""
    files = [tmp_path / f"{seed}.safetensors" for seed in range(2)]
    for seed, file in enumerate(files):
        model = build_model(replace(source, seed=seed), (3, 32, 32), 10)
        cached_features(model, sets["shapes20"], LAYERS, 1, file)
    assert files[0].read_bytes() != files[1].read_bytes()
