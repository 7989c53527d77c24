"""Parameters and modules: a model is an object, and its parameters are found by walking its attributes.

Nothing is registered. What a module holds, in the order in which `__init__` assigned it, is what `parameters()`
lists and what `state_dict()` names; never a set, whose order would change from one process to the next.

Read next: cells.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from nn.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that training changes: an attribute of a module that is a Parameter is part of its `state_dict`.
    """

    __slots__ = ()

    def __init__(self, data, dtype=None):
        super().__init__(data, requires_grad=True, dtype=dtype)


class Module:
    """A function with parameters. Subclasses assign Parameters and Modules in `__init__` and define `forward`.

        class Twice(Module):
            def __init__(self, layer):
                self.layer = layer
            def forward(self, x):
                return self.layer(self.layer(x))
    """

    training = True

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def members(self) -> Iterator[tuple[str, Parameter | Module]]:
        """(name, what) of the Parameters and Modules that this module holds, also in lists ("layers.0") and dicts."""
        for name, value in vars(self).items():
            yield from _members(name, value)

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """(name, parameter), such as ("encoder.weight", ...); a parameter held twice comes under both names."""
        for name, value in self.members():
            if isinstance(value, Parameter):
                yield prefix + name, value
            else:
                yield from value.named_parameters(f"{prefix}{name}.")

    def parameters(self) -> list[Parameter]:
        """Each parameter once, in order of definition."""
        return list({id(p): p for _, p in self.named_parameters()}.values())

    def train(self, mode: bool = True) -> Module:
        """Say that the module is being trained (Dropout drops); returns it."""
        self.training = mode
        for _, member in self.members():
            if isinstance(member, Module):
                member.train(mode)
        return self

    def eval(self) -> Module:
        """Say that the module is being used (Dropout does nothing); returns it."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters():
            p.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """{name: a copy of the parameter's array}, under PyTorch's names."""
        return {name: p.data.copy() for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, np.ndarray], strict: bool = True) -> None:
        """Copy arrays into the parameters, in place and in the parameters' dtype.

        KeyError, if `strict`, for names that are missing or unknown; ValueError for a wrong shape. On an error
        nothing is changed.
        """
        own = dict(self.named_parameters())
        missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
        if strict and (missing or unknown):
            raise KeyError(f"state_dict does not fit: missing {sorted(missing)}, unknown {sorted(unknown)}")
        shared = {name: np.asarray(state[name]) for name in own if name in state}
        for name, array in shared.items():
            if array.shape != own[name].shape:
                raise ValueError(f"state_dict does not fit: {name} is {array.shape}, the model's is {own[name].shape}")
        for name, array in shared.items():
            own[name].data[...] = array

    def save(self, path: str | os.PathLike) -> None:
        """Write the parameters to a safetensors file, beside it and then renamed: it is never half-written."""
        path = Path(path)
        beside = path.with_name(path.name + ".tmp")
        try:
            beside.write_bytes(safetensors.numpy.save(self.state_dict()))
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    def load(self, path: str | os.PathLike, strict: bool = True) -> None:
        """Read the parameters from a safetensors file. One of PyTorch's will do: names and shapes are the same.

        ValueError for a type that numpy has not (bfloat16), and what `load_state_dict` raises.
        """
        try:
            arrays = safetensors.numpy.load_file(path)
        except TypeError as error:
            raise ValueError(f"{path}: {error} by numpy: save it as float32") from None
        self.load_state_dict(arrays, strict)

    def extra_repr(self) -> str:
        """What stands in the parentheses of a leaf's `repr`."""
        return ""

    def __repr__(self) -> str:
        count = sum(p.size for p in self.parameters())
        lines = [f"{type(self).__name__}({self.extra_repr()})  # {count:,} parameters"]
        for name, member in self.members():
            if isinstance(member, Module):
                lines.append(f"  {name}: " + repr(member).replace("\n", "\n  "))
        return "\n".join(lines)


def _members(name, value):
    if isinstance(value, (Parameter, Module)):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _members(f"{name}.{key}", item)


class Sequential(Module):
    """Modules, or any functions of one Tensor, one after the other: Sequential(f, g)(x) = g(f(x)).

    They are named "0", "1", ... as in PyTorch.
    """

    def __init__(self, *layers):
        for i, layer in enumerate(layers):
            setattr(self, str(i), layer)

    def forward(self, x):
        for name, layer in vars(self).items():
            if name.isdigit():
                x = layer(x)
        return x
