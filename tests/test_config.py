"""The study: what is read, what is refused, and in which words."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from scaling.config import (
    DESIGNS,
    ModelConfig,
    Study,
    StudyError,
    dump_study,
    explained,
    fields,
    load_study,
    override,
    parse_study,
    parse_yaml,
    read_study,
)

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_is_a_study_and_comes_back_unchanged(path: Path) -> None:
    study = load_study(path)
    assert parse_study(yaml.safe_load(dump_study(study))) == study


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"trainig": {}}, "trainig is not a field; did you mean training?"),
        ({"training": {"learning_rte": 1}}, "training.learning_rte is not a field; did you mean learning_rate?"),
        ({"training": {"learning_rate": "fast"}}, "training.learning_rate is 'fast'; input should be a valid number"),
        ({"training": {"learning_rate": -1}}, "training.learning_rate is -1; input should be greater than 0"),
        ({"training": {"learning_rate": float("nan")}}, "input should be a finite number"),
        ({"sweep": {"widths": [33, 48]}}, "sweep.widths has 33, not divisible by family.head_width 16; use 32 or 48"),
        ({"sweep": {"widths": [32]}}, "a design with a single size cannot show how loss depends on size"),
        ({"sweep": {"budgets": [1e10, 1e10]}}, "an entry appears twice"),
        ({"sweep": {"replicate_widths": [24]}}, "replicate_widths has [24], not among widths"),
        ({"training": {"batch_tokens": 64}}, "training.batch_tokens is 64, less than one sequence of 128 tokens"),
        (
            {"training": {"batch_ramp": [{"tokens": 9, "factor": 2}, {"tokens": 9, "factor": 4}]}},
            "training.batch_ramp is at [9, 9] tokens; each stage must begin after the one before",
        ),
        (
            {"training": {"batch_ramp": [{"tokns": 9, "factor": 2}]}},
            "training.batch_ramp.0.tokns is not a field; did you mean tokens?",
        ),
        ({"family": {"feed_forward": "swglu"}}, "family.feed_forward is 'swglu'; input should be 'swiglu'"),
        ({"engine": {"processes": 0}}, "engine.processes is 0; input should be greater than or equal to 1"),
        ({"sweep": {"budgets": 3}}, "sweep.budgets is 3; should be a list, as in [1, 2]"),
        ({"training": 7}, "training is 7; should be fields, as in {name: value}"),
        ({"sweep": {"budgets": []}}, "sweep.budgets is []; list should have at least 1 item, not 0"),
        ({"name": "My Study"}, "name is 'My Study'"),
    ],
)
def test_errors_name_field_value_and_fix(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study({"name": "x"} | raw)
    assert words in str(caught.value)


def test_a_study_without_a_name_says_so() -> None:
    with pytest.raises(StudyError, match="name is missing; give it a value"):
        parse_study({})


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(StudyError) as caught:
        parse_study({"name": "x", "seed": -1, "data": {"corpse": "a"}})
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name: x\nname: y\n", "name appears twice"),
        ("name: [x\n", "is not YAML"),
        ("- 1\n", "holds list, not a mapping"),
        ("", "holds NoneType, not a mapping"),
    ],
)
def test_a_file_that_is_no_study(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(content)
    with pytest.raises(StudyError, match=words):
        load_study(path)


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text("name: x")
    with pytest.raises(StudyError, match=r"quickstat\.yaml does not exist; did you mean .*quickstart\.yaml\?"):
        load_study(tmp_path / "quickstat.yaml")


@pytest.mark.parametrize(("text", "value"), [("3e10", 3e10), ("1E-3", 1e-3), ("-2e5", -2e5), ("3", 3), ("e10", "e10")])
def test_yaml_reads_exponents_as_numbers(text: str, value: Any) -> None:
    assert parse_yaml(text, "x") == value


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--training.learning-rate", "3e-3"], ("training", "learning_rate"), 3e-3),
        (["--training.learning_rate=3e-3"], ("training", "learning_rate"), 3e-3),
        (["--sweep.budgets", "1e10", "3e10"], ("sweep", "budgets"), (1e10, 3e10)),
        (["--sweep.budgets", "[1e10, 3e10]"], ("sweep", "budgets"), (1e10, 3e10)),
        (["--sweep.budgets", "1e10"], ("sweep", "budgets"), (1e10,)),
        (["--check.enabled", "false"], ("check", "enabled"), False),
        (["--training.learning-rate-exponent", "-1"], ("training", "learning_rate_exponent"), -1.0),
        (["--engine.processes", "null"], ("engine", "processes"), None),
    ],
)
def test_fields_are_options(arguments: list[str], field: tuple[str, str], value: Any) -> None:
    raw: dict[str, Any] = {"name": "x", "training": {"weight_decay": 0.2}}
    study = parse_study(override(raw, arguments))
    assert getattr(getattr(study, field[0]), field[1]) == value
    assert study.training.weight_decay == 0.2
    assert raw == {"name": "x", "training": {"weight_decay": 0.2}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["3e-3"], "'3e-3' is not an option"),
        (["--training.learning-rate"], "--training.learning-rate has no value"),
        (["--name.x", "3"], "name is 'x' in the study, not a part"),
        (["--training.learning-rte", "3"], "did you mean learning_rate?"),
    ],
)
def test_wrong_options_say_what_is_wrong(arguments: list[str], words: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(override({"name": "x"}, arguments))
    assert words in str(caught.value)


def test_every_field_is_an_option_with_a_meaning() -> None:
    options = dict(fields())
    assert {"name", "training.learning-rate", "sweep.replicate-seeds", "engine.retries"} <= options.keys()
    assert all(field.description for field in options.values())


def test_the_schema_describes_every_field() -> None:
    schema = Study.model_json_schema()
    for part in schema["$defs"].values():
        assert all("description" in field or "$ref" in field for field in part["properties"].values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 30}, "width is 30, not divisible by 4 heads; use 28 or 32"),
        ({"kv_heads": 3}, "heads is 4, not divisible by 3 kv_heads"),
        ({"width": 20}, "head width is 5; rotary positions need an even one"),
    ],
)
def test_a_model_that_cannot_be_built(changes: dict[str, int], words: str) -> None:
    shape = {"layers": 1, "width": 32, "heads": 4, "kv_heads": 4, "ffn_width": 8, "vocabulary": 9, "sequence_length": 4}
    with pytest.raises(ValueError, match=words):
        ModelConfig(**(shape | changes))


LADDER = {"name": "x", "sweep": {"design": "ladder", "widths": [16, 32], "tokens_per_param": [20]}}


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--sweep.widths", "16", "48"], "widths", (16, 48)),
        (["--sweep.widths", "64"], "widths", (64,)),
        (["--sweep.tokens-per-param", "10", "40"], "tokens_per_param", (10.0, 40.0)),
        (["--sweep.design", "chinchilla", "--sweep.tokens-per-param", "40"], "tokens_per_param", 40.0),
        (["--sweep.seeds", "3"], "seeds", 3),
        (["--sweep.factors.training.beta1", "0.8", "0.9"], "factors", {"training.beta1": (0.8, 0.9)}),
        (["--sweep.factors", "{training.beta1: [0.8, 0.9]}"], "factors", {"training.beta1": (0.8, 0.9)}),
    ],
)
def test_fields_of_a_design_are_options(arguments: list[str], field: str, value: Any) -> None:
    assert getattr(parse_study(override(LADDER, arguments)).sweep, field) == value


def test_a_design_comes_back_from_yaml_and_isoflop_needs_no_name() -> None:
    study = parse_study(
        override(LADDER, ["--sweep.skip", "[{when: {width: {above: 16}, seed: [0, 2]}, because: dear}]"])
    )
    assert parse_study(parse_yaml(dump_study(study), "x")) == study
    assert parse_study({"name": "x"}).sweep.design == "isoflop"
    assert parse_study({"name": "x", "sweep": {"widths": [16, 32]}}).sweep == parse_study(
        {"name": "x", "sweep": {"design": "isoflop", "widths": [16, 32]}}
    ).sweep  # fmt: skip


def test_the_schema_tells_designs_apart_by_name() -> None:
    schema = Study.model_json_schema()
    sweep = schema["properties"]["sweep"]
    assert sweep["discriminator"]["propertyName"] == "design"
    assert set(sweep["discriminator"]["mapping"]) == set(DESIGNS)
    for name, member in sweep["discriminator"]["mapping"].items():
        part = schema["$defs"][member.rpartition("/")[2]]
        assert part["properties"]["design"]["const"] == name
        assert ("design" in part.get("required", ())) == (name != "isoflop")


def test_every_field_is_explained_once_with_the_designs_that_have_it() -> None:
    told = list(explained())
    assert len(set(told)) == len(told)
    assert ("sweep.samples", "required") in {(option, default) for option, default, _ in told}
    of = {meaning.partition(":")[0] for option, _, meaning in told if option == "sweep.tokens-per-param"}
    assert of == {"ladder, bowls", "chinchilla"}


def test_read_study_is_plain_data() -> None:
    assert read_study(CONFIGS[0])["name"]


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ({"News": "a"}, "evaluation.sets is .*; 'News' names columns: use small letters, digits and _, as news"),
        ({"news": {"path": "a", "txt_field": "b"}}, "evaluation.sets.news.txt_field is not a field; did you mean"),
        ({"news": 3}, "evaluation.sets.news is 3; give a path, or details as"),
        ({"news": {"path": "a", "kind": "text", "prompt_field": "q"}}, "evaluation.sets.news.prompt_field is 'q', but"),
        ({"news": {"path": "a", "kind": "choices", "text_field": "q"}}, "evaluation.sets.news.text_field is 'q', but"),
        (["news"], r"evaluation.sets is \['news'\]; write NAME: PATH of each set"),
    ],
)
def test_a_wrong_held_out_set_is_named(sets: object, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        parse_study({"name": "x", "evaluation": {"sets": sets}})


def test_a_held_out_set_is_a_path_or_details_and_comes_back_from_yaml() -> None:
    raw = override({"name": "x", "evaluation": {"sets": {"quiz": {"path": "q"}}}}, ["--evaluation.sets.news", "a/"])
    found = parse_study(raw)
    assert {name: one.path for name, one in found.evaluation.sets.items()} == {"quiz": "q", "news": "a/"}
    assert parse_study(parse_yaml(dump_study(found), "x")) == found
