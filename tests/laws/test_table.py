"""Any dataframe in; a clear error that names the cell where a table cannot work."""

from datetime import date
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas
import polars as pl
import pytest

from scaling import laws
from scaling.laws import LawError
from scaling.laws.numerals import instead
from scaling.records import Observation
from tests.laws.planted import published, study

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
    (changed("tokens", 3, "many"), None, r"row 4, column 'tokens' is 'many', not a number$"),
    (changed("tokens", 3, True), None, r"row 4, column 'tokens' is True, a truth value"),
    (changed("tokens", 3, date(2024, 1, 2)), None, r"row 4, column 'tokens' is a date or time, 2024-01-02"),
    (changed("tokens", 3, [1, 2]), None, r"row 4, column 'tokens' is \[1.*, 2.*\], not a number"),
    (changed("tokens", 3, "1e200"), None, r"row 4, column 'tokens' is 1e\+200, beyond any unit"),
    (changed("tokens", 3, 10**400), None, r"row 4, column 'tokens' is (inf|above 1.8e308)|row 4.*empty"),
    (changed("trajectory", 3, None), None, r"row 4, column 'trajectory' is empty"),
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
    (np.ones((3, 3)), None, r"a ndarray without names is not a table; .*rows\[:, 0\]"),
    (TABLE | {"loss": 3.0}, None, r"column 'loss' is 3.0, not a list of values"),
    (TABLE | {1: TABLE["loss"]}, None, r"column 1 is named by a int"),
    (pl.DataFrame(TABLE).lazy(), None, r"a LazyFrame holds no rows yet; give its collect\(\)"),
    ("nowhere.csv", None, r"nowhere.csv is not a file"),
]


@pytest.mark.parametrize(("table", "columns", "message"), BAD)
def test_a_bad_table_names_what_is_wrong(table: Any, columns: dict[str, str] | None, message: str) -> None:
    with pytest.raises(LawError, match=message):
        laws.fit(table, "chinchilla", columns=columns, resamples=0)


WORDS = {
    "7B": "; write 7e9",
    "1.3 T tokens": "; write 1.3e12",
    "70 million": "; write 7e7",
    "1e9 FLOPs": "; write 1e9",
    "5 EFLOP": "; write 5e18",
    "12,345,678": "; write 12345678",
    "1,000": "; write 1000, or 1.000 if the comma is a decimal point",
    "2,31": "; write 2.31",
    "1 000 000": "; write 1000000",
    "75%": "; write 0.75",
    "2^30": "; write 1.073741824e9",
    "1.2 x 10^21": "; write 1.2e21",
    "~7e9": "; write 7e9",
    "\u22125": "; write -5",
    "2.31 ± 0.02": "; write 2.31, and its error in a column of its own",
    "2024-01-02": " but a date; is this the right column?",
    "many": "",
    "7 B or so": "",
}


@pytest.mark.parametrize("text", WORDS)
def test_text_in_a_number_says_what_to_write(text: str) -> None:
    assert instead(text) == WORDS[text]
    wanted = WORDS[text].removeprefix("; write ").split(",")[0]
    if wanted and "date" not in wanted:
        float(wanted)


@pytest.mark.parametrize("text", ["NA", "n/a", "null", "-", "—", "None", "  "])
def test_words_for_nothing_are_empty_cells(text: str) -> None:
    with pytest.raises(LawError, match=r"row 4, column 'tokens' is '.*', empty; fill it or leave the row out"):
        laws.read(changed("tokens", 3, text))


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
    given = [TABLE, frame, nw.from_native(frame), frame.to_arrow()]
    given += [tmp_path / f"runs.{suffix}" for suffix in ("csv", "jsonl", "parquet")]
    assert len({laws.read(table).sha256 for table in given}) == 1


PLAIN = {name: TABLE[name] for name in ("params", "tokens", "loss")}
TEXT = pl.DataFrame(PLAIN).write_csv()
FILES: list[tuple[str, bytes, str]] = [
    ("empty.csv", b"", r"cannot be read as csv"),
    ("header.csv", b"params,tokens,loss\n", r"the table has 0 row\(s\) to fit"),
    ("one.csv", b"params,tokens,loss\n1e6,2e7,3\n", r"the table has 1 row\(s\) to fit"),
    ("semicolons.csv", TEXT.replace(",", ";").encode(), r"is separated by ';', not by commas"),
    ("tabs.csv", TEXT.replace(",", "\t").encode(), r"is separated by tabs"),
    ("twice.csv", TEXT.replace("params", "loss", 1).encode(), r"has two columns 'loss', number 1 and 3"),
    ("ragged.csv", b"params,tokens,loss\n1e6,2e7,3\n1,000,2e7,3\n", r"row 2 has 4 values under 3 columns"),
    ("wide.csv", TEXT.encode("utf-16"), r"is not UTF-8 text"),
    ("runs.xlsx", b"", r"is none of .csv"),
    ("text.parquet", b"params,loss", r"cannot be read as parquet"),
    ("broken.jsonl", b'{"params": 1}\n{"params": oops}\n', r"line 2 is no JSON"),
    ("array.jsonl", b'[{"params": 1}]', r"line 1 holds a JSON list; write one object a line"),
    (
        "mixed.jsonl",
        b'{"params": 1e6, "tokens": 2e7, "loss": 3}\n{"params": "7B", "tokens": 1, "loss": 2}',
        r"write 7e9",
    ),
    (
        "less.jsonl",
        b'{"params": 1e6, "tokens": 2e7, "loss": 3}\n{"tokens": 1e7, "loss": 2}',
        r"row 2, column 'params' is e",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), FILES, ids=[case[0] for case in FILES])
def test_a_file_that_is_no_table_says_so_in_one_line(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LawError, match=message) as raised:
        laws.read(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_files_are_read_as_people_save_them(tmp_path: Path) -> None:
    expected = laws.read(PLAIN).sha256
    for name, text in (
        ("marked.csv", "\ufeff" + TEXT),
        ("RUNS.CSV", TEXT),
        ("spaces.csv", TEXT.replace("tokens", " tokens ", 1)),
        ("windows.csv", TEXT.replace("\n", "\r\n")),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        assert laws.read(tmp_path / name).sha256 == expected, name


def test_rows_may_be_records_or_a_structured_array() -> None:
    expected = laws.read(PLAIN).sha256
    records = [dict(zip(PLAIN, row, strict=True)) for row in zip(*PLAIN.values(), strict=True)]
    assert laws.read(records).sha256 == expected
    rows = np.array(list(zip(*PLAIN.values(), strict=True)), dtype=[(name, float) for name in PLAIN])
    assert laws.read(rows).sha256 == expected


def test_integers_of_any_size_are_read(tmp_path: Path) -> None:
    rows = [
        f'{{"params": {n:.0f}, "tokens": {d:.0f}, "flops": {round(6 * n * d)}, "loss": {loss}}}'
        for n, d, loss in ((1e12, 2e13, 2.0), (2e12, 5e13, 1.9), (4e12, 7e13, 1.8))
    ]
    (tmp_path / "runs.jsonl").write_text("\n".join(rows))
    np.testing.assert_allclose(laws.read(tmp_path / "runs.jsonl").flops, [1.2e26, 6e26, 1.68e27])


def test_a_pandas_index_with_a_name_is_a_column() -> None:
    frame = pandas.DataFrame(PLAIN)
    assert laws.read(frame.set_index("params")).sha256 == laws.read(PLAIN).sha256
    assert laws.read(frame.set_index(np.arange(len(frame)) + 100)).labels[0] == "row 1"
    frame.columns = ["params", "loss", "loss"]
    with pytest.raises(LawError, match="two columns 'loss'"):
        laws.read(frame)


# Units and copies

N = np.array([7e7, 1.6e8, 4.1e8, 1.4e9, 6.9e9])
D = np.array([3e9, 1e10, 3e11, 4e10, 1.4e11])
L = 2 + 400 / N**0.34 + 400 / D**0.28
ROW_4 = np.where(np.arange(5) == 3, 1e9, 1.0)
UNITS: list[tuple[str, dict[str, Any], str]] = [
    (
        "N in billions",
        {"params": N / 1e9, "tokens": D},
        r"row 1, column 'params' is 0.07: .*'params' in billions .*1e9\)\?$",
    ),
    (
        "N in millions",
        {"params": N / 1e6, "tokens": D},
        r"column 'params' is 410: .*'params' in millions \(multiply by 1e6\)",
    ),
    ("D in billions", {"params": N, "tokens": D / 1e9}, r"row 1, column 'tokens' is 3: .*'tokens' in billions"),
    ("D in trillions", {"params": N, "tokens": D / 1e12}, r"column 'tokens' is 0.003: tokens cannot be fewer than one"),
    ("both", {"params": N / 1e9, "tokens": D / 1e9}, r"'params' in billions .* and 'tokens' in billions"),
    (
        "one D",
        {"params": N, "tokens": D / ROW_4},
        r"row 4, column 'tokens' is 40: .*in billions .*, in this row alone\?",
    ),
    ("one N", {"params": N / ROW_4, "tokens": D}, r"row 4, column 'params' is 1.4: .*in this row alone"),
    (
        "EFLOP",
        {"params": N, "tokens": D, "flops": 6 * N * D / 1e18},
        r"column 'flops' is 1.26: .*'flops' in EFLOP \(m.* 1e18",
    ),
    (
        "petaflop/s-days",
        {"params": N, "flops": 6 * N * D / 8.64e19},
        r"'flops' in PFLOP/s-days \(multiply by 8.64e19\)",
    ),
    ("no N", {"tokens": D, "flops": 6 * N * D / 1e21}, r"'flops' is 0.00126: .*'flops' in ZFLOP"),
    ("own names", {"params": N / 1e9, "D": D}, r"column 'params' is 0.07"),
]


@pytest.mark.parametrize(("columns", "message"), [case[1:] for case in UNITS], ids=[case[0] for case in UNITS])
def test_units_that_cannot_be_right_name_the_cell_and_the_unit(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(LawError, match=message):
        laws.read(columns | {"loss": L})


def test_units_that_may_be_right_are_let_through() -> None:
    for table in (
        {"params": N, "tokens": D, "flops": 6 * N * D},
        {"params": [8, 64, 512, 4096], "tokens": [16, 128, 4096, 65536], "loss": [0.9, 0.5, 0.3, 0.2]},
        {"params": [1, 2, 4, 8.5], "loss": [4, 3, 2, 1.5]},
        {"params": 1e-9 * N, "flops": 6e-9 * N * D, "tokens": D},
    ):
        if "loss" in table or table["params"][0] > 1:
            assert not laws.read({"loss": L} | table).findings
    sparse = laws.read({"params": N, "tokens": D, "flops": 6 * N * D / 2000, "loss": L})
    assert [finding.code for finding in sparse.findings] == ["flops_disagree"]
    few = laws.read({"params": [1e8, 1e9, 1.6e10], "tokens": [1e4, 1e5, 1e4], "loss": [3, 2.5, 2]})
    assert [finding.code for finding in few.findings] == ["units_suspect"], "fine-tuning on a few thousand examples"


PUBLIC: list[tuple[tuple[str, str], dict[str, str], set[str]]] = [
    (("chinchilla", "points.csv"), {"params": "Model Size", "flops": "Training FLOP"}, set()),
    (("farseer", "runs.csv"), {}, {"rows_repeat"}),
    (("farseer", "held_out.csv"), {}, set()),
    (("muennighoff", "runs.csv"), {}, set()),
    (("gadre", "runs.csv"), {"loss": "loss_c4_val"}, set()),
    (
        ("gemstones", "hot.jsonl"),
        {"params": "params_active_precise", "loss": "final_loss", "trajectory": "run_name"},
        set(),
    ),
    (("gemstones", "cool_end.jsonl"), {"params": "params_active_precise", "loss": "final_loss"}, set()),
    (("gemstones", "slim_chinchilla.jsonl"), {"params": "params_active_precise", "loss": "final_loss"}, set()),
]


@pytest.mark.parametrize(("path", "columns", "expected"), PUBLIC, ids=["/".join(case[0]) for case in PUBLIC])
def test_no_published_table_is_refused(path: tuple[str, str], columns: dict[str, str], expected: set[str]) -> None:
    assert {finding.code for finding in laws.read(published(*path), columns).findings} == expected


def _with_copy(**changes: Any) -> dict[str, Any]:
    return {name: [*values, changes.get(name, values[3])] for name, values in TABLE.items()}


def test_a_run_counted_twice_is_refused_by_both_its_rows() -> None:
    copy = len(TABLE["loss"]) + 1
    with pytest.raises(LawError, match=rf"row {copy} repeats row 4: trajectory '.*' with params .*weight of 2"):
        laws.read(_with_copy())
    again = laws.read(_with_copy(loss=9.0)).findings
    assert [finding.code for finding in again] == ["trajectory_repeats"]
    assert f"row {copy}" in again[0].message
    assert not laws.read(_with_copy(trajectory="another", seed=7)).findings, "a replicate may have the same loss"
    plain = {name: values for name, values in _with_copy().items() if name in PLAIN}
    assert [finding.code for finding in laws.read(plain).findings] == ["rows_repeat"]
    assert not laws.read(plain | {"note": list(range(copy))}).findings
    assert laws.read({"loss": [3.0, 2.5, 2.0]}).rows == 3, "a law in another column reads its own"


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
        several = ("metrics", "by_position", "sets", "domains")
        others = {name: 1 for name in Observation.model_fields if name not in (*given, *several)}
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
