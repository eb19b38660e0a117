"""Forms by name: the laboratory's, and a user's own from their package."""

from pathlib import Path

import numpy as np
import pytest

from scaling import laws
from scaling.laws.forms import FORMS, form_named

OWN = """
from scaling.laws.forms import LawForm, asymptote, coefficient, exponent

def logarithmic(p, x, xp):
    return p["E"] + p["A"] / (1 + x["params"]) ** p["alpha"]

slow = LawForm(
    name="slow", equation=logarithmic, text="L = E + A / (1 + ln N)^alpha", source="a user's own",
    parameters=(asymptote(), coefficient("A"), exponent("alpha")), inputs=("params",), falling=("params",),
)

def steep(x: str = "tokens"):
    return LawForm(
        name="steep", equation=lambda p, inputs, xp: p["A"] * xp.exp(-p["alpha"] * inputs[x]), text="L = A / D^alpha",
        parameters=(coefficient("A", lambda p, c: -p["alpha"] * c[x]), exponent("alpha")), inputs=(x,), source="own",
    )

not_a_form = 7
def makes_none():
    return 7
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"package_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_user_s_own_form(package: str) -> None:
    sizes = np.geomspace(1e5, 1e9, 12)
    fit = laws.fit({"params": sizes, "loss": 1.0 + 9.0 / (1 + np.log(sizes)) ** 0.7}, f"{package}:slow", resamples=40)
    assert fit.params == pytest.approx({"E": 1.0, "A": 9.0, "alpha": 0.7}, rel=1e-5)
    assert laws.LawFit.from_json(fit.to_json()).loss(params=1e10) == fit.loss(params=1e10)


def test_a_user_s_own_family_of_forms(package: str) -> None:
    flops = np.geomspace(1e15, 1e19, 10)
    fit = laws.fit({"flops": flops, "loss": 50 / flops**0.07}, f"{package}:steep", x="flops", resamples=0)
    assert fit.options == {"x": "flops"}
    assert fit.params == pytest.approx({"A": 50.0, "alpha": 0.07}, rel=1e-6)


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("nowhere_at_all:form", {}, "module 'nowhere_at_all' cannot be imported"),
        ("{}:slwo", {}, "has no 'slwo'; did you mean 'slow'"),
        ("{}:not_a_form", {}, "is a int; it must be a LawForm or a function that returns one"),
        ("{}:makes_none", {}, "returns a int; it must return a LawForm"),
        ("{}:steep", {"xx": "flops"}, "has no option 'xx'; its options are x; did you mean 'x'"),
        ("chinchilla", {"x": "flops"}, "form chinchilla has no option 'x'; it has no options"),
        ("powr", {}, "form 'powr' is not known.*did you mean 'power'"),
    ],
)
def test_what_is_wrong_is_named(package: str, path: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(laws.LawError, match=words):
        form_named(path.format(package), options)


def test_every_form_says_what_it_is() -> None:
    form_named("power")
    for name, made in FORMS.items():
        assert made.__doc__, name
        try:
            form = made()
        except (TypeError, laws.LawError):  # some forms need an option, such as the names of domains
            continue
        assert form.name == name
        assert form.text
        assert form.source
