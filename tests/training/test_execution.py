"""Device, layout and arithmetic: what a processor multiplies, and what the metrics say of it."""

import math
import platform
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from labutils import data
from labutils.config.base import ConfigError
from labutils.config.classifier import RunConfig
from labutils.config.fcn import FCNConfig
from labutils.config.fit import FitConfig
from labutils.data.sets import DataSet, Split
from labutils.fcn.training import train_detector
from labutils.models.blocks import weight_layers
from labutils.models.networks import build_model
from labutils.training import execution
from labutils.training.classifiers import fit, train
from labutils.training.evaluation import evaluate
from labutils.training.execution import execution_for, multiplies_bf16

CPU = torch.device("cpu")
CNN = RunConfig(data="digits", model="cnn", width=4, epochs=2, batch_size=16, precision="bf16")


@pytest.fixture(params=[True, False], ids=["bf16", "no bf16"])
def has_bf16(request, monkeypatch):
    """A processor that multiplies bf16, or one that does not."""
    monkeypatch.setattr(execution, "multiplies_bf16", lambda device: request.param)
    return request.param


@pytest.fixture
def digits(monkeypatch):
    """A few images of the digits, under their name."""
    whole = data.load("digits")
    splits = (whole.train, whole.val, whole.test)
    parts = [Split(split.images[:60], split.labels[:60]) for split in splits]
    few = DataSet("digits", whole.class_names, *parts, whole.mean, whole.std)
    monkeypatch.setattr(data, "load", lambda name: few)
    return few


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_tile", "none"])
def test_a_cpu_multiplies_bf16_where_it_has_instructions(machine, instructions, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for name in ("avx512_bf16", "amx_tile"):
        there = machine == "x86_64" and name == instructions
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda there=there: there)
    # oneDNN on x86 says yes to any AVX-512, on Arm to bf16 instructions alone
    onednn = machine == "x86_64" or instructions != "none"
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    assert multiplies_bf16(CPU) == (instructions != "none")


@pytest.mark.parametrize("answer", [True, False])
def test_a_gpu_that_emulates_bf16_does_not_multiply_it(answer, monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or answer
    )
    assert multiplies_bf16(torch.device("cuda")) == answer


def test_layout_and_arithmetic_are_chosen_in_one_place(has_bf16):
    conv = build_model(CNN, (1, 28, 28), 10)
    mlp = build_model(RunConfig(depth=4, width=8), (1, 28, 28), 10)
    assert execution_for(conv).memory_format == torch.channels_last
    assert execution_for(mlp).memory_format == torch.contiguous_format
    assert execution_for(mlp).arithmetic == "fp32"
    assert execution_for(mlp, "bf16").arithmetic == ("bf16" if has_bf16 else "fp32")
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    placed = execution_for(conv, device=CPU).place(images)
    assert placed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(placed, images)


def test_bf16_computes_in_bf16_and_keeps_weights_in_fp32(has_bf16, digits):
    model, kinds = build_model(CNN, (1, 28, 28), 10), set()
    layer = list(weight_layers(model).values())[-1]
    layer.register_forward_hook(lambda m, i, out: kinds.add((m.weight.requires_grad, out.dtype)))
    train_set, val_set = ((part.images, part.labels) for part in (digits.train, digits.val))
    history = fit(model, train_set, val_set, CNN, progress=False)
    # where the processor has none, products are in fp32
    assert ((True, torch.bfloat16) in kinds) == has_bf16
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert history.status == "finished" and all(map(math.isfinite, history.train_loss))


def test_without_bf16_a_run_is_that_in_fp32_and_says_so(has_bf16, digits):
    run, exact = (train(replace(CNN, precision=p), progress=False) for p in ("bf16", "fp32"))
    assert run.metrics["arithmetic"] == ("bf16" if has_bf16 else "fp32")
    assert exact.metrics["arithmetic"] == "fp32"
    assert (run.history["val_loss"] == exact.history["val_loss"]) != has_bf16
    assert run.history["val_loss"] == pytest.approx(exact.history["val_loss"], rel=0.2)


def test_a_detector_says_so_too(has_bf16, digits):
    config = FCNConfig(data="digits", width=4, canvases=8, epochs=1, size=32, precision="bf16")
    metrics = train_detector(config, progress=False).metrics
    assert metrics["arithmetic"] == ("bf16" if has_bf16 else "fp32")
    assert (
        metrics["hardware"]["device"] == execution.execution_for(torch.nn.Linear(1, 1)).device.type
    )


def test_fp64_starts_from_the_numbers_of_fp32_and_rounds_finer(digits):
    config = RunConfig(data="digits", depth=30, width=16, epochs=1)
    exact = replace(config, precision="fp64")
    one, two = (train(c, progress=False) for c in (config, exact))
    assert two.metrics["arithmetic"] == "fp64"
    assert {weight.dtype for weight in two.model.state_dict().values()} == {torch.float64}
    starts = [build_model(c, (1, 28, 28), 10).state_dict() for c in (config, exact)]
    assert all(torch.equal(starts[0][name], starts[1][name].float()) for name in starts[0])
    one, two = (o.history["layers"]["activation_image_std"][0] for o in (one, two))
    assert one[:10] == pytest.approx(two[:10], rel=1e-3)
    assert two[-2] > 0 and not 0.5 < one[-2] / two[-2] < 2, "rounding is all that fp32 leaves"


def test_fit_trains_anyones_network_in_fp64(digits):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    config = FitConfig(epochs=1, precision="fp64")
    fit(model, (digits.train.images, digits.train.labels), (digits.val.images, digits.val.labels),
        config, progress=False)  # fmt: skip
    assert model[1].weight.dtype == torch.float64
    scored = evaluate(model, digits.val.images, digits.val.labels)
    assert math.isfinite(scored.loss)


@pytest.mark.parametrize(
    "make", [lambda: FCNConfig(precision="fp64"),
             lambda: RunConfig(precision="fp64", model="resnet", optimizer="muon",
                               bias_learning_rate=0.1, head_learning_rate=0.1)]
)  # fmt: skip
def test_fp64_is_refused_where_it_would_not_be_computed(make):
    with pytest.raises(ConfigError, match="fp64 is for classifiers"):
        make()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's memory")
def test_freed_memory_serves_the_next_tensors_and_goes_back_in_the_end():
    resource = pytest.importorskip("resource")
    megabytes = 100
    page = resource.getpagesize()

    def new_pages() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(megabytes * 2**18)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    def fewest() -> int:  # small memory between may take the place of a large tensor once
        return min(new_pages() for _ in range(5))

    usual = fewest()
    with execution.memory_reused():
        assert fewest() < usual / 10
        with execution.memory_reused():
            pass
        assert fewest() < usual / 10, "an inner context must not end the outer one"
        kept = resident()
    assert resident() < kept - megabytes * 2**20 / 2
    assert new_pages() > usual / 2
