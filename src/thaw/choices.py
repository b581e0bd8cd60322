"""Finding degradations, networks and samplers by name, and checking the options a variant gives them.

A choice is named as the module that implements it: `degradation: {name: zoom}` is `degradations/zoom.py`. Adding one
is adding a file. Its options are the keyword-only arguments of what the module defines, checked against their type
annotations, so that no option is declared in a second place.
"""

import importlib
import inspect
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError, create_model

from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Choice, explain, suggest

PACKAGES = {
    "degradation": "thaw.degradations",
    "network": "thaw.networks",
    "sampler": "thaw.samplers",
    "study": "thaw.studies",
}


def names(kind: str) -> list[str]:
    """The names that a kind of choice offers, read from the files of its package without importing them."""
    folder = Path(__file__).parent.joinpath(*PACKAGES[kind].split(".")[1:])
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def find(kind: str, name: str, key: str) -> Callable[..., Any]:
    """The class (named in CamelCase) or function (named as its module) that implements a choice.

    Raises ThawError, naming `key`, what is allowed and the nearest name, where there is no such file.
    """
    known = names(kind)
    if name not in known:
        raise ThawError(
            f"{PARAMS_FILE}: {key}.name is {name!r}, which is no {kind} of thaw{suggest(name, known)}; "
            f"there are {', '.join(known)}."
        )
    module = importlib.import_module(f"{PACKAGES[kind]}.{name}")
    found: Callable[..., Any] = getattr(module, name, None) or getattr(module, name.title().replace("_", ""))
    return found


def options(implementation: Callable[..., Any], choice: Choice, key: str, given: Iterable[str] = ()) -> dict[str, Any]:
    """The checked options of a choice, with the defaults of its implementation filled in.

    `given` names the keyword arguments that thaw itself supplies. Raises ThawError naming the first wrong option.
    """
    hints = typing.get_type_hints(implementation, include_extras=True)
    if inspect.isclass(implementation):
        hints = typing.get_type_hints(implementation.__init__, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(implementation).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in given
    }
    schema = create_model("Options", __config__=ConfigDict(extra="forbid", allow_inf_nan=False, strict=True), **fields)
    try:
        checked = schema.model_validate(choice.options)
    except ValidationError as error:
        if not fields:
            raise ThawError(
                f"{PARAMS_FILE}: {key}.{next(iter(choice.options))} is not a key that thaw knows: "
                f"{choice.name} has no options; remove it."
            ) from None
        raise ThawError(f"{PARAMS_FILE}: {explain(error, schema, key)}") from None
    return {name: getattr(checked, name) for name in fields}


def create(kind: str, choice: Choice, key: str, /, **given: Any) -> Any:
    """Construct what a choice names, from its options and what it accepts of what thaw supplies."""
    implementation = find(kind, choice.name, key)
    accepted = given.keys() & inspect.signature(implementation).parameters.keys()
    return implementation(**{name: given[name] for name in accepted}, **options(implementation, choice, key, given))
