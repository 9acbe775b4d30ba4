from dataclasses import replace

import pytest
import torch

from labutils.cam import class_activation_maps, map_layers
from labutils.cam.kinds import finer_layer
from labutils.config.data_sets import DATA_SETS
from labutils.config.profiles import profile
from labutils.data.variants import VARIANTS
from labutils.models.networks import build_model
from labutils.report.cams import experiments
from labutils.report.experiments import configs
from labutils.report.records import Experiment
from labutils.report.strong.experiments import strong

RECORDS = [record for record in vars(experiments).values() if isinstance(record, Experiment)]
POOLED = [record for record in RECORDS if record is not experiments.flattening]
SAME = ("grad-cam", "hirescam", "xgrad-cam")  # as CAM at the last map
both_profiles = pytest.mark.parametrize("which", ["full", "quick"])


def network_of(config):
    """Its initial weights, and two images of noise."""
    spec = DATA_SETS[config.data]
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, *spec.image_shape), generator=drawn, dtype=torch.uint8)
    return build_model(config, spec.image_shape, spec.classes).eval(), images


def maps(network, images, method):
    found = class_activation_maps(network, images, method=method, class_idx=3, rectify=False)
    return found.values


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_networks_are_small_and_keep_the_weights_that_maps_are_made_from(record):
    assert record.keep != "none" and record.shipped
    network, _ = network_of(record.grid()[0])
    assert sum(parameter.numel() for parameter in network.parameters()) <= 300_000


def test_what_is_measured_against_masks_has_masks():
    for config in experiments.shapes.grid() + experiments.on_canvases.grid():
        assert DATA_SETS[config.data].built_in or config.data in VARIANTS


@both_profiles
@pytest.mark.parametrize("record", POOLED, ids=lambda record: record.name)
def test_at_the_last_map_of_pooled_networks_four_methods_are_one(record, which):
    for config in configs(record.name, profile(which)):
        network, images = network_of(config)
        cam = maps(network, images, "cam")
        assert cam.abs().amax() > 0
        for method in SAME:
            torch.testing.assert_close(
                cam[0].numel() * maps(network, images, method), cam, rtol=1e-3, atol=1e-4
            )


@both_profiles
def test_behind_a_flattening_head_they_are_not(which):
    network, images = network_of(configs("cam-flatten", profile(which))[0])
    with pytest.raises(ValueError, match="CAM needs a network that ends in global average pooling"):
        maps(network, images, "cam")
    first, *others = (maps(network, images, method) for method in SAME)
    for other in others:
        assert (first - other).abs().amax() > 0.01 * first.abs().amax()


@both_profiles
@pytest.mark.parametrize("record", [experiments.shapes, experiments.on_canvases, strong])
def test_the_finer_map_has_twice_as_many_cells_a_side(record, which):
    network, images = network_of(configs(record.name, profile(which))[0])
    found = map_layers(network, images)
    finer, last = found[finer_layer(network, images)], list(found.values())[-1]
    assert finer[1:] == (2 * last[1], 2 * last[2])


@both_profiles
def test_three_resolutions_are_three(which):
    """In quick, too, where all maps are coarser."""
    grid = configs("cam-shapes", profile(which))[:1] + configs("cam-resolution", profile(which))
    cells = []
    for config in grid:
        network, images = network_of(config)
        cells.append(list(map_layers(network, images).values())[-1][1])
    assert cells[1] < cells[0] < cells[2]


def test_the_networks_of_the_mark_differ_from_the_others_in_their_images_alone():
    for config in experiments.marked.grid():
        assert replace(config, data="shapes10") in experiments.shapes.grid()


@both_profiles
def test_no_network_is_trained_for_two_experiments(which):
    ids = [config.id for record in RECORDS for config in configs(record.name, profile(which))]
    assert len(ids) == len(set(ids))


def test_no_kind_of_map_is_measured_twice():
    for kinds in (experiments.WITH_RESIZED, experiments.FLATTENED, experiments.OF_NETWORK,
                  experiments.RANDOMISED):  # fmt: skip
        assert len(kinds) == len(set(kinds))
    # one row for what is one map
    last = {kind.method for kind in experiments.KINDS if kind.layer == "last"}
    assert len(last & {"cam", *SAME}) == 1
    assert set(experiments.KINDS) < set(experiments.WITH_RESIZED)
