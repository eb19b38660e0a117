"""`scaling predict`: every question of docs/allocation.md gets the law's own answer, with intervals and with E."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scaling import laws
from scaling.laws import LawFit
from tests.laws import planted
from tests.laws.test_allocation import HOFFMANN, known
from tests.studies.terminal import Terminal

Ask = Callable[[LawFit], Any]
QUESTIONS: list[tuple[list[str], Ask]] = [
    (["--flops", "1e23"], lambda fit: fit.optimum(flops=1e23)),
    (["--params", "7e10", "--tokens", "1.4e12"], lambda fit: fit.predict(params=7e10, tokens=1.4e12)),
    (["--params", "7e10", "--flops", "1e23", "--runs", "4"], lambda fit: fit.predict(params=7e10, flops=1e23, runs=4)),
    (["--loss", "2.2"], lambda fit: fit.budget_for(loss=2.2)),
    (["--loss", "2.2", "--params", "7e9"], lambda fit: fit.budget_for(loss=2.2, params=7e9)),
    (["--flops", "1e23", "--instead", "0.5x"], lambda fit: fit.deviation(flops=1e23, factor=0.5)),
    (["--flops", "1e23", "--instead", "7e9"], lambda fit: fit.deviation(flops=1e23, params=7e9)),
    (["--loss", "2.2", "--serve", "1e12"], lambda fit: fit.cheapest(loss=2.2, served_tokens=1e12)),
    (
        ["--flops", "1e23", "--serve", "1e12", "--inference", "0.2"],
        lambda fit: fit.serving_optimum(flops=1e23, served_tokens=1e12, inference=0.2),
    ),
]
IDS = [" ".join(words) for words, _ in QUESTIONS]


@pytest.fixture
def law(tmp_path: Path) -> Path:
    return written(known(), tmp_path)


def written(fit: LawFit, folder: Path) -> Path:
    path = folder / "law.json"
    path.write_text(fit.to_json())
    return path


@pytest.mark.parametrize(("words", "ask"), QUESTIONS, ids=IDS)
def test_the_answer_is_the_law_s_own(terminal: Terminal, law: Path, words: list[str], ask: Ask) -> None:
    wanted = json.loads(json.dumps(ask(laws.load(law)).as_json()))
    said = json.loads(terminal.done("predict", law, *words, "--json"))
    assert {name: said[name] for name in wanted} == wanted
    assert (said["form"], said["status"]) == ("chinchilla", "ok")
    assert said["sensitivity_to_E"]["parameter"] == "E"


@pytest.mark.parametrize(("words", "ask"), QUESTIONS, ids=IDS)
def test_every_value_is_printed_with_its_interval_and_with_what_rests_on_E(
    terminal: Terminal, law: Path, words: list[str], ask: Ask
) -> None:
    answer, shown = ask(laws.load(law)), " ".join(terminal.done("predict", law, *words).split())
    found = [one for one in vars(answer).values() if isinstance(one, laws.Estimate) and one.low < one.high]
    written_as = [laws.number, laws.count, lambda value: f"{laws.number(100 * value)}%"]
    for one in found:
        assert any(one.text(write) in shown for write in written_as), one
    if isinstance(answer, laws.Prediction):
        for one in (answer.confidence, answer.prediction):
            assert f"[{one.low:.5g}, {one.high:.5g}]" in shown
    assert answer.sensitivity_to_E is not None
    assert answer.sensitivity_to_E.text() in shown
    assert "95% intervals (chinchilla)" in shown


def test_exponents_come_with_a_budget(terminal: Terminal, law: Path) -> None:
    wanted = laws.load(law).exponents(1e23)["params"]
    said = json.loads(terminal.done("predict", law, "--flops", "1e23", "--json"))
    truth = HOFFMANN["beta"] / (HOFFMANN["alpha"] + HOFFMANN["beta"])
    assert said["exponents"]["params"]["value"] == wanted.value == pytest.approx(truth, rel=1e-6)
    assert f"N* grows as C^{wanted.text()}" in " ".join(terminal.done("predict", law, "--flops", "1e23").split())


def test_nothing_rests_on_an_asymptote_that_is_held(terminal: Terminal, tmp_path: Path) -> None:
    fit = known()
    held = replace(
        fit,
        pinned={"E": 1.69},
        intervals={name: one for name, one in fit.intervals.items() if name != "E"},
        samples={name: values for name, values in fit.samples.items() if name != "E"},
    )
    path = written(held, tmp_path)
    assert "sensitivity" not in terminal.done("predict", path, "--flops", "1e21")
    assert json.loads(terminal.done("predict", path, "--flops", "1e21", "--json"))["sensitivity_to_E"] is None


def test_a_law_that_cannot_be_trusted_says_so_with_each_answer(terminal: Terminal, tmp_path: Path) -> None:
    path = written(replace(known(), status="many_optima: do not use this"), tmp_path)
    assert "many_optima: do not use this" in terminal.done("predict", path, "--flops", "1e21")
    assert json.loads(terminal.done("predict", path, "--flops", "1e21", "--json"))["status"].startswith("many")


def test_further_inputs_are_held_and_asked_for(terminal: Terminal, tmp_path: Path) -> None:
    truth = HOFFMANN | {"R_D_star": 15.4, "R_N_star": 5.3}
    ranges = {"params": (1e7, 1e9), "tokens": (1e9, 1e11), "flops": (6e16, 6e20), "unique_tokens": (1e9, 1e10)}
    fit = known("data_constrained", truth, ranges=ranges)
    path = written(fit, tmp_path)
    wanted = fit.budget_for(loss=2.8, unique_tokens=1e10)
    said = json.loads(terminal.done("predict", path, "--loss", "2.8", "--at", "unique_tokens=1e10", "--json"))
    assert said["flops"]["value"] == wanted.flops.value
    refused = terminal.refused("predict", path, "--loss", "2.8")
    assert "form data_constrained needs unique_tokens too: --at unique_tokens=1e+10" in refused
    refused = terminal.refused("predict", path, "--loss", "2.8", "--at", "unique_token=1e10")
    assert "did you mean 'unique_tokens'?" in refused
    figure = tmp_path / "law.svg"
    assert terminal.done("predict", path, "--at", "unique_tokens=1e10", "--plot", figure) == f"written to {figure}\n"
    assert b"<svg" in figure.read_bytes()[:400]


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_figure(terminal: Terminal, law: Path, tmp_path: Path, suffix: str, start: bytes) -> None:
    figure = tmp_path / "new" / f"law.{suffix}"
    shown = terminal.done("predict", law, "--flops", "1e21", "--plot", figure)
    assert "N*" in shown
    assert f"written to {figure}" in shown
    assert figure.read_bytes().startswith(start)


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = planted.study(noise=0.01)
    found = laws.select(table, ["chinchilla", "power"], starts=32, resamples=40)
    path = tmp_path_factory.mktemp("selection") / "selection.json"
    path.write_text(found.to_json())
    return path


def test_a_selection_answers_with_its_mixture(terminal: Terminal, selection: Path) -> None:
    found = laws.Selection.from_json(selection.read_text())
    wanted = json.loads(json.dumps(found.predict(params=1e6, tokens=1e8).as_json()))
    said = json.loads(terminal.done("predict", selection, "--params", "1e6", "--tokens", "1e8", "--json"))
    assert {name: said[name] for name in wanted} == wanted
    assert said["forms"] == found.weights
    shown = " ".join(terminal.done("predict", selection, "--params", "1e6", "--tokens", "1e8").split())
    assert f"mixture of {', '.join(found.weights)}" in shown
    assert found.sensitivity(params=1e6, tokens=1e8).text() in shown  # type: ignore[union-attr]
    assert "all else fitted again; the objective is" in shown


def test_one_law_of_a_selection_answers_what_the_mixture_does_not(terminal: Terminal, selection: Path) -> None:
    found = laws.Selection.from_json(selection.read_text())
    assert f"--form {found.chosen}" in terminal.refused("predict", selection, "--loss", "2")
    assert f"--form {found.chosen}" in terminal.refused("predict", selection, "--flops", "1e12", "--plot", "law.pdf")
    assert "mixes" in terminal.refused("predict", selection, "--form", "kaplan", "--flops", "1e12")
    said = json.loads(terminal.done("predict", selection, "--form", "chinchilla", "--loss", "2", "--json"))
    assert said["flops"]["value"] == found.fits["chinchilla"].budget_for(loss=2).flops.value


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], "nothing to predict: give --flops, --loss"),
        (["--flops", "much"], "--flops: 'much' is not a number"),
        (["--flops", "-1"], "--flops: -1 is not a positive number"),
        (["--loss", "1.6"], "loss is 1.6, below the"),
        (["--loss", "2", "--tokens", "1e9"], "--tokens does not go with --loss, which goes with --params"),
        (["--loss", "2", "--runs", "2"], "--runs does not go with --loss"),
        (["--serve", "1e12"], "--serve needs one of --loss"),
        (["--serve", "1e12", "--loss", "2", "--flops", "1e22"], "--serve needs one of --loss"),
        (["--serve", "1e12", "--loss", "2", "--params", "1e9"], "--params does not go with --serve"),
        (["--inference", "0.3", "--flops", "1e22"], "--flops does not go with --inference"),
        (["--inference", "0.3"], "--inference goes with --serve"),
        (["--instead", "0.5x"], "--instead 0.5x needs --flops"),
        (["--flops", "1e22", "--instead", "0.5"], "for 0.5 times N* write 0.5x"),
        (["--flops", "1e22", "--instead", "half"], "--instead is 'half'; give parameters"),
        (["--flops", "1e22", "--instead", "0x"], "--instead is 0x; give a positive number"),
        (["--flops", "1e22", "--at", "flops=1e23"], "--flops is given twice"),
        (["--loss", "2", "--at", "loss=3"], "--at names 'loss', no input of form chinchilla"),
        (["--flops", "1e22", "--at", "self=3"], "--at names 'self', no input"),
        (["--runs", "2"], "--runs needs --params and --tokens"),
        (["--params", "1e9", "--tokens", "1e9", "--runs", "0"], "runs is 0; it must be at least 1"),
        (["--flops", "1e22", "--form", "kaplan"], "the law in {law} is of form chinchilla"),
        (["--plot", "law.gif"], "--plot is law.gif; its name ends in .png, .pdf, .svg"),
    ],
)
def test_wrong_questions(terminal: Terminal, law: Path, words: list[str], wanted: str) -> None:
    assert wanted.replace("{law}", str(law)) in terminal.refused("predict", law, *words)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"hello", "is not JSON"),
        (b"\x89PNG", "is not JSON"),
        (b"[1]", "holds neither a law nor a selection"),
        (b'{"a": 1}', "holds neither a law nor a selection"),
        (b'{"form": "x", "schema": 2}', "is not a law: it lacks"),
        (b'{"chosen": "x", "schema": 9}', "is not a selection that this version reads"),
    ],
)
def test_what_is_no_law(terminal: Terminal, tmp_path: Path, content: bytes, wanted: str) -> None:
    path = tmp_path / "law.json"
    path.write_bytes(content)
    assert wanted in terminal.refused("predict", path, "--flops", "1e21")


def test_a_damaged_law(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "law.json"
    path.write_text(json.dumps(known().as_json() | {"intervals": 3}))
    assert "is damaged" in terminal.refused("predict", path, "--flops", "1e21")


def test_a_law_from_the_loss_is_asked_at_it(terminal: Terminal, tmp_path: Path) -> None:
    truth = {"epsilon": 0.9, "k": 2.0, "gamma": 0.7}
    path = written(known("downstream", truth, ranges={"loss": (2.0, 4.0)}), tmp_path)
    assert "write --at loss=2.5" in terminal.refused("predict", path, "--loss", "2.5")
    assert "error at L 2.5" in terminal.done("predict", path, "--at", "loss=2.5")
