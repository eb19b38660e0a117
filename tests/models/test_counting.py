"""Counts of a part of one's own: the formula's where it is the laboratory's under another name, else by hand."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from scaling.accounting import counts, size_and_cost
from scaling.config import AccountingConfig, ModelConfig, parse_study
from scaling.laws.costs import checked, log_flops_per_token
from scaling.models import counted
from scaling.models.counting import matrix_product_flops
from scaling.planning import cost_table
from tests import own

MODELS = [
    ModelConfig(layers=3, width=32, heads=4, kv_heads=2, ffn_width=88, vocabulary=257, sequence_length=16),
    ModelConfig(
        layers=2, width=16, heads=2, kv_heads=2, ffn_width=40, vocabulary=64, sequence_length=8,
        feed_forward="gelu", positions="learned", tied_head=True, qk_norm=False, layer_loop="scan",
    ),
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=["swiglu", "learned"])
@pytest.mark.parametrize("field", ["block", "model"])
def test_the_laboratorys_own_under_another_name_counts_as_by_formula(
    tmp_path: Path, model: ModelConfig, field: str
) -> None:
    with own.module(tmp_path, "counts_same") as name:
        part = parse_study({"name": "x", "family": {field: f"{name}:same_{field}"}}).own[f"family.{field}"]
        mine = model.model_copy(update={field: part})
        assert counted(mine) == counts(model)
        with pytest.raises(ValueError, match="only the built model tells"):
            counts(mine)


def test_another_block_by_hand(tmp_path: Path) -> None:
    with own.module(tmp_path, "counts_other") as name:
        part = parse_study({"name": "x", "family": {"block": f"{name}:Bottleneck"}}).family.block
        mine = MODELS[0].model_copy(update={"block": part})
        found = counted(mine)
        assert size_and_cost(mine, AccountingConfig(flops="6N"), counted) == (found.params, 6 * found.params)
    matrices, gain, place = 2 * 32 * 8, 32, 16 * 32
    assert found.params == 3 * (matrices + gain + place) + 32 + 2 * 257 * 32
    assert found.params_non_embedding == 3 * (matrices + gain) + 32
    assert found.flops_per_token_exact == 6 * (3 * matrices + 257 * 32)
    assert found.flops_per_token_causal == found.flops_per_token_exact, "nothing attends"


def test_products_in_convolutions_branches_and_loops() -> None:
    x, kernel = jnp.zeros((1, 8, 10)), jnp.zeros((4, 8, 3))
    convolved = jax.make_jaxpr(lambda x: jax.lax.conv_general_dilated(x, kernel, (1,), "SAME"))(x)
    assert matrix_product_flops(convolved.jaxpr) == 2 * 10 * 4 * 8 * 3
    a = jnp.zeros((5, 5))
    branches = jax.make_jaxpr(lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, x))(a)
    assert matrix_product_flops(branches.jaxpr) == 2 * 2 * 5**3
    loop = jax.make_jaxpr(lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 1, lambda x: x @ x, x))(a)
    with pytest.raises(ValueError, match="inside while"):
        matrix_product_flops(loop.jaxpr)


def test_the_coarse_table_of_costs_is_near_every_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family whose widths have to be built has few rungs; between them its costs are interpolated."""
    study = parse_study({"name": "x", "family": {"heads": 2, "sequence_length": 64}, "sweep": {"widths": [16, 32]}})
    params, flops = cost_table(study)
    monkeypatch.setattr("scaling.planning.family.LADDER_RATIO", 2.0)
    few = cost_table(study)
    assert len(few[0]) < len(params) / 5
    told = jnp.exp(log_flops_per_token(checked(few), jnp.log(jnp.array(params, float))))
    assert float(jnp.abs(told / jnp.array(flops, float) - 1).max()) < 2e-3
