"""Parameters and modules: a model is an object, and its parameters are found by walking its attributes.

Nothing is registered. What a module holds, in the order in which `__init__` assigned it, is what `parameters()`
lists and what `state_dict()` names. Sets are ignored, as their order changes from one process to the next.

Read next: cells.py.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from nn.tensor import Tensor, astype


class Parameter(Tensor):
    """A Tensor that training changes. A Parameter that a module holds is part of its `state_dict`."""

    __slots__ = ()

    def __init__(self, data, dtype=None):
        super().__init__(data, requires_grad=True, dtype=dtype)


def in_dtype_of(parameter: Parameter, x):
    """x in the dtype of a parameter: a layer computes in the dtype of its weights. One array of float64 would otherwise
    make all that follows float64, at half the speed (PyTorch refuses it). Complex numbers stay, for gradcheck.
    """
    return x if x.dtype == parameter.dtype or x.dtype.kind == "c" else astype(x, parameter.dtype)


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

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter), such as ("encoder.weight", ...); a parameter held twice comes under both names.

        ValueError for two parameters of one name, and for a module that holds itself.
        """
        names = set()
        for name, member in _walk(self, "", ()):
            if isinstance(member, Parameter):
                if name in names:
                    raise ValueError(f"two parameters have the name {name}")
                names.add(name)
                yield name, member

    def parameters(self) -> list[Parameter]:
        """Each parameter once, in order of definition."""
        return list({id(p): p for _, p in self.named_parameters()}.values())

    def train(self, mode: bool = True) -> Module:
        """Set training mode, in which Dropout drops; returns the module."""
        self.training = mode
        for _, member in _walk(self, "", ()):
            if isinstance(member, Module):
                member.training = mode
        return self

    def eval(self) -> Module:
        """Set evaluation mode, in which Dropout does nothing; returns the module."""
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
        shared = {}
        for name in (name for name in own if name in state):
            array = np.asarray(state[name])
            if array.dtype.kind not in "fiub":
                raise ValueError(f"state_dict does not fit: {name} is not an array of real numbers")
            if array.shape != own[name].shape:
                raise ValueError(f"state_dict does not fit: {name} is {array.shape}, the model's is {own[name].shape}")
            shared[name] = array.astype(own[name].dtype)
        for name, array in shared.items():
            own[name].data[...] = array
            own[name].changed()

    def save(self, path: str | os.PathLike) -> None:
        """Write the parameters to a safetensors file: beside it, and then renamed, so that it is always whole."""
        path = Path(path)
        beside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")  # each writer has its own
        try:
            beside.write_bytes(safetensors.numpy.save(self.state_dict()))
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    def load(self, path: str | os.PathLike, strict: bool = True) -> None:
        """Read the parameters from a safetensors file, also one that PyTorch wrote: names and shapes are the same.

        ValueError for a file in another format, or with a type that numpy does not have (bfloat16), and what
        `load_state_dict` raises; all with the name of the file.
        """
        try:
            arrays = safetensors.numpy.load_file(path)
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path}: is not a safetensors file: {error}") from None
        except TypeError as error:
            raise ValueError(f"{path}: {error} by numpy: save it as float32") from None
        try:
            self.load_state_dict(arrays, strict)
        except (KeyError, ValueError) as error:
            raise type(error)(f"{path}: {error.args[0]}") from None

    def extra_repr(self) -> str:
        """What the `repr` of the module shows in its parentheses."""
        return ""

    def __repr__(self) -> str:
        count = sum(p.size for p in self.parameters())
        lines = [f"{type(self).__name__}({self.extra_repr()})  # {count:,} parameters"]
        for name, member in self._shown():
            text = repr(member) if isinstance(member, Module) else getattr(member, "__name__", repr(member))
            lines.append(f"  {name}: " + text.replace("\n", "\n  "))
        return "\n".join(lines)

    def _shown(self):
        """(name, member) of what `repr` lists: modules, and in Sequential also functions."""
        return [(name, member) for name, member in self.members() if isinstance(member, Module)]


def _walk(module, prefix, above):
    """(full name, member) of all Parameters and Modules, at any depth, in order of definition."""
    if any(module is other for other in above):
        raise ValueError(f"{prefix.removesuffix('.')} is a module that holds itself: keep a parent as a function, "
                         "lambda: parent")
    for name, member in module.members():
        yield prefix + name, member
        if isinstance(member, Module):
            yield from _walk(member, f"{prefix}{name}.", (*above, module))


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

    def __iter__(self):
        return (layer for name, layer in vars(self).items() if name.isdigit())

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, index: int):
        return list(self)[index]

    def forward(self, x):
        for layer in self:
            x = layer(x)
        return x

    def _shown(self):
        return [(str(i), layer) for i, layer in enumerate(self)]
