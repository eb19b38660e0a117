"""Laws as data: equations in named parameters, and the parameters they are made of. No JAX."""

from scaling.laws.forms.base import Data, Floats, LawForm, Parameter, Values, coordinates, natural
from scaling.laws.forms.parameters import asymptote, coefficient, exponent, positive, real, scale
from scaling.laws.forms.registry import FORMS, form_named, register

__all__ = [
    "FORMS",
    "Data",
    "Floats",
    "LawForm",
    "Parameter",
    "Values",
    "asymptote",
    "coefficient",
    "coordinates",
    "exponent",
    "form_named",
    "natural",
    "positive",
    "real",
    "register",
    "scale",
]
