"""Any dataframe in; a clear error that names the cell where a table cannot work."""

from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
import pytest

from scaling import laws
from scaling.laws import LawError
from scaling.records import Observation
from tests.laws.planted import study

TABLE = study(noise=0.005)


def changed(column: str, row: int, value: Any) -> dict[str, list[Any]]:
    values = list(TABLE[column])
    values[row] = value
    return TABLE | {column: values}


BAD = [
    ({"params": TABLE["params"], "tokens": TABLE["tokens"]}, None, r"no column 'loss'"),
    ({"los": TABLE["loss"], "params": TABLE["params"]}, None, r"no column 'loss'; did you mean 'los'\?"),
    (TABLE, {"params": "parms"}, r"no column 'parms' for params; did you mean 'params'\?"),
    (TABLE, {"parms": "params"}, r"columns names 'parms'.*did you mean 'params'"),
    ({name: TABLE[name] for name in ("params", "loss")}, None, r"no tokens \(D\)"),
    (changed("tokens", 3, "many"), None, r"row 4, column 'tokens' is 'many', not a number"),
    (changed("params", 0, 0.0), None, r"row 1, column 'params' is 0; it must be above 0"),
    (changed("loss", 5, -2.0), None, r"row 6, column 'loss' is -2"),
    (changed("loss", 5, float("nan")), None, r"row 6, column 'loss' is nan"),
    (changed("loss", 5, None), None, r"row 6, column 'loss' is empty"),
    (changed("flops", 2, float("inf")), None, r"row 3, column 'flops' is inf"),
    ({name: values[:1] for name, values in TABLE.items()}, None, r"1 row\(s\) to fit"),
    (TABLE | {"params": [1e6] * len(TABLE["loss"])}, None, r"column params is 1e\+06 in every row"),
    (TABLE | {"loss": [2.5] * len(TABLE["loss"])}, None, r"column 'loss' is 2.5 in every row"),
    (changed("flops_convention", 4, "exact"), None, r"flops_convention mixes '6N' \(row 1\) and 'exact' \(row 5\)"),
    (changed("params_convention", 9, "without_embeddings"), None, r"params_convention mixes .*row 10"),
    (TABLE | {"loss": TABLE["loss"][1:]}, None, r"columns differ in length"),
    (7, None, r"a int is not a table"),
    ("nowhere.csv", None, r"nowhere.csv is not a file"),
]


@pytest.mark.parametrize(("table", "columns", "message"), BAD)
def test_a_bad_table_names_what_is_wrong(table: Any, columns: dict[str, str] | None, message: str) -> None:
    with pytest.raises(LawError, match=message):
        laws.fit(table, "chinchilla", columns=columns, resamples=0)


ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"form": "chinchila"}, r"form 'chinchila' is not known.*did you mean 'chinchilla'"),
    ({"form": "power", "x": "size"}, r"no column 'size', which this form needs"),
    ({"pin": {"gamma": 1.0}}, r"pin names 'gamma'; form chinchilla has E, A, alpha, B, beta"),
    ({"pin": {"E": -1.0}}, r"pin E=-1.0"),
    ({"pin": {"A": 0.0}}, r"pin A=0.0"),
    ({"form": "isoflop", "pin": {"E": 1.0}}, r"isoflop has no parameters to pin"),
    ({"delta": 0.0}, r"delta is 0.0"),
    ({"resamples": 3}, r"resamples is 3"),
    ({"level": 95.0}, r"level is 95.0"),
    ({"method": "row"}, r"method is 'row'"),
    ({"starts": 0}, r"starts is 0"),
    ({"drop_highest_loss": 1000}, r"drop_highest_loss is 1000"),
    ({"cost": ([1e6, 2e6], [1e6])}, r"cost has 2 params and 1 flops_per_token"),
    ({"cost": ([1e6, 2e6], [2e6, 1e6])}, r"flops_per_token does not grow"),
    ({"cost": {"params": [1e6]}}, r"cost lacks 'flops_per_token'"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_a_bad_argument_names_what_is_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LawError, match=message):
        laws.fit(TABLE, **arguments)


def test_every_kind_of_table_gives_the_same_rows(tmp_path: Path) -> None:
    frame = pl.DataFrame(TABLE)
    frame.write_csv(tmp_path / "runs.csv")
    frame.write_ndjson(tmp_path / "runs.jsonl")
    frame.write_parquet(tmp_path / "runs.parquet")
    given = [TABLE, frame, nw.from_native(frame), frame.to_arrow() if _has_arrow() else frame]
    given += [tmp_path / f"runs.{suffix}" for suffix in ("csv", "jsonl", "parquet")]
    assert len({laws.read(table).sha256 for table in given}) == 1


def _has_arrow() -> bool:
    return nw.dependencies.get_pyarrow() is not None


def test_a_csv_that_is_no_table_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("")
    with pytest.raises(LawError, match=r"runs.csv cannot be read as csv"):
        laws.read(tmp_path / "runs.csv")
    (tmp_path / "runs.xlsx").write_text("")
    with pytest.raises(LawError, match=r"is none of .csv"):
        laws.read(tmp_path / "runs.xlsx")


def test_the_third_of_n_d_c_is_derived_and_the_convention_stated() -> None:
    def kept(*names: str) -> dict[str, Any]:
        return {name: TABLE[name] for name in (*names, "loss")}

    tokens = laws.read(kept("params", "flops"))
    np.testing.assert_allclose(tokens.tokens, TABLE["tokens"])
    assert tokens.conventions["derived"] == "tokens = flops / (6 params)"
    flops = laws.read(kept("params", "tokens"))
    np.testing.assert_allclose(flops.flops, TABLE["flops"])
    params = laws.read(kept("tokens", "flops"))
    np.testing.assert_allclose(params.params, TABLE["params"])
    cost = (TABLE["params"][:5], [8 * size for size in TABLE["params"][:5]])
    np.testing.assert_allclose(laws.read(kept("params", "flops"), cost=cost).tokens, np.array(TABLE["tokens"]) * 6 / 8)


def test_the_fields_letters_are_understood() -> None:
    table = laws.read({"N": TABLE["params"], "D": TABLE["tokens"], "loss": TABLE["loss"]})
    np.testing.assert_array_equal(table.params, TABLE["params"])


def test_checks_are_never_fitted() -> None:
    rows = len(TABLE["loss"])
    table = TABLE | {"role": ["fit"] * (rows - 2) + ["check"] * 2}
    fit = laws.fit(table, resamples=0)
    assert fit.rows == rows - 2
    assert fit.excluded == tuple(f"row {row}: role is check, never fitted" for row in (rows - 1, rows))
    assert fit.params == laws.fit({n: v[:-2] for n, v in TABLE.items()}, resamples=0).params


def test_highest_losses_are_left_out_by_name() -> None:
    worst = int(np.argmax(TABLE["loss"]))
    table = laws.read(TABLE, drop_highest_loss=1)
    assert table.excluded == (f"row {worst + 1}: among the 1 highest losses",)
    assert table.rows == len(TABLE["loss"]) - 1
    assert table.target.max() < max(TABLE["loss"])


def test_the_hash_is_of_the_rows_that_were_fitted() -> None:
    one = laws.read(TABLE).sha256
    assert one == laws.read(TABLE | {"note": ["x"] * len(TABLE["loss"])}).sha256
    assert one != laws.read(changed("loss", 0, 3.0)).sha256


def test_our_own_observations_are_read(tmp_path: Path) -> None:
    rows = []
    for index in range(len(TABLE["loss"])):
        given = {name: TABLE[name][index] for name in ("loss", "flops", "budget", "trajectory", "role", "seed")}
        given |= {"params": int(TABLE["params"][index]), "tokens": round(TABLE["tokens"][index])}
        given |= {"params_convention": "with_embeddings", "flops_convention": "exact", "horizon": f"h{index}"}
        others = {name: 1 for name in Observation.model_fields if name not in given}
        rows.append(Observation(**(given | others)).model_dump())
    path = tmp_path / "observations.csv"
    pl.DataFrame(rows).write_csv(path)
    table = laws.read(path)
    assert table.conventions["params"] == "with_embeddings"
    assert table.conventions["flops"] == "exact"
    assert len(np.unique(table.cluster)) == len(set(TABLE["trajectory"]))


def test_a_tables_own_cost_is_used_where_it_is_not_6n() -> None:
    own = TABLE | {"flops": (9 * np.array(TABLE["params"]) ** 0.98 * TABLE["tokens"]).tolist()}
    table = laws.read(own)
    assert table.cost["rule"] == "table"
    assert table.conventions["cost"] == "flops / tokens of the table"
    assert laws.read(TABLE).cost == {"rule": "6N"}


def test_data_rich_edge_keeps_the_longest_run_of_each_size_with_its_seeds() -> None:
    table = pl.DataFrame(study(noise=0.005))
    edge = laws.data_rich_edge(table)
    assert isinstance(edge, pl.DataFrame)
    longest = {size: max(edge.filter(params=size)["tokens"]) for size in edge["params"]}
    assert set(longest) == set(table["params"])
    for size, tokens in longest.items():
        assert tokens == table.filter(params=size)["tokens"].max()
        assert edge.filter(params=size).equals(table.filter(params=size, tokens=tokens))
    fit = laws.fit(edge, "power", pin={"E": 0.0}, resamples=50)
    assert set(fit.intervals) == {"A", "alpha"}
