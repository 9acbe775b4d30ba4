"""Evaluation leaves no trace, and does not depend on batches."""

import pytest
import torch
import torch.nn.functional as F
from small_problem import EVERYTHING, MLP, VAL, build, trained

from labutils.training.evaluation import evaluate
from labutils.training.inputs import TrainingError


def test_evaluate_is_in_eval_mode_whatever_the_batches():
    """Mistake 2: with dropout and batch norm on, the result depends on chance and batch."""
    model, _ = trained(EVERYTHING)
    model.train()
    whole = evaluate(model, *VAL)
    order = torch.randperm(len(VAL[1]), generator=torch.Generator().manual_seed(0))
    for size in (1, 7, 1_000):
        found = evaluate(model, VAL[0][order], VAL[1][order], batch_size=size)
        assert found == pytest.approx(whole, rel=1e-4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, *VAL)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with torch.no_grad():
        logits = model.eval()(VAL[0])
    expected = F.cross_entropy(logits, VAL[1]).item()
    share = (logits.argmax(1) == VAL[1]).float().mean().item()
    assert whole == pytest.approx((expected, share), rel=1e-4)


@pytest.mark.parametrize("mode", [True, False])
def test_evaluate_restores_the_mode_of_each_module(mode):
    model = build(EVERYTHING).train(mode)
    model.blocks.train(not mode)  # a frozen part stays frozen
    before = [module.training for module in model.modules()]
    evaluate(model, *VAL)
    assert [module.training for module in model.modules()] == before
    with pytest.raises(TrainingError):
        evaluate(model, VAL[0], VAL[1] + 1)
    assert [module.training for module in model.modules()] == before


def test_evaluate_builds_no_graph_and_fit_ends_in_eval_mode():
    model, _ = trained(MLP)
    assert not any(module.training for module in model.modules())
    grads = []
    model.register_forward_hook(lambda m, i, out: grads.append(out.requires_grad))
    evaluate(model, *VAL)
    assert grads == [False]
