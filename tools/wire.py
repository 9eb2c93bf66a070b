"""Plain data, between the tests and a student's kernel: the tests' process asks, the kernel answers in JSON.

This file is sent to the kernel as text, so it imports nothing of ours. What a kernel answers is never
unpickled or executed: it is JSON, made of numbers, strings, lists, tuples, dicts and arrays.
"""

import itertools
import json

import numpy as np

PLAIN = (bool, int, float, str, type(None))
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64")
LONGEST = 2_000_000  # characters of one answer
MOST = 100_000  # what is read of an iterator, which may have no end


def encode(value):
    """JSON-able form of plain data; TypeError names what is none."""
    if isinstance(value, np.random.Generator):
        return {"rng": value.bit_generator.state}
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()  # a torch tensor
    if isinstance(value, np.ndarray | np.generic):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if hasattr(value, "__iter__"):  # lists, ranges, sets, generators
        return [encode(item) for item in itertools.islice(value, MOST)]
    raise TypeError(f"a {type(value).__name__} is no number, text, list, dict or array")


def decode(form):
    """The data behind a JSON-able form; arrays come back as arrays, whatever sent them."""
    if isinstance(form, list):
        return [decode(item) for item in form]
    if not isinstance(form, dict):
        return form
    if "rng" in form:
        rng = np.random.default_rng()
        rng.bit_generator.state = form["rng"]
        return rng
    if "array" in form:
        return np.array(form["array"], dtype=form["dtype"] if form["dtype"] in DTYPES else None)
    if "tuple" in form:
        return tuple(decode(item) for item in form["tuple"])
    return {decode(key): decode(item) for key, item in form["dict"]}


def answer(names, name, question):
    """Call names[name] as the question says (or give the value); returns the JSON of result or error."""
    try:
        if name not in names:
            raise NameError(f"name '{name}' is not defined")
        if question is None:
            return json.dumps({"value": encode(names[name])})
        args, options = decode(json.loads(question))
        before = encode([args, options])
        value = encode(names[name](*args, **options))
        changed = json.dumps(encode([args, options])) != json.dumps(before) and not holds_rng(before)
        return json.dumps({"value": value, "changed": changed})
    except Exception as error:
        return json.dumps({"error": f"{type(error).__name__}: {error}"[:500]})


def holds_rng(form):
    """A generator of random numbers is there to be changed."""
    return '"rng"' in json.dumps(form)
