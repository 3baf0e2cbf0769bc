"""Building a module that is too large to exist whole: first its outline, without memory, then each process's share.

The outline is built on torch's meta device, by the module's own code, and every operation of that is noted. `Start`
then repeats these operations one by one on the CPU, with the random numbers drawn in the very same order, and keeps of
each finished tensor this process's share alone: what comes out equals, bit by bit, what the plain way builds, cut into
shares. At any moment one whole tensor is there beside the shares. The idea is torchdistx's deferred initialisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from cairn.errors import CairnError
from cairn.nets.encoder import seeded

_TRUNCATED_NORMAL: Callable[..., Tensor] = nn.init._no_grad_trunc_normal_
OVERWRITING = {
    torch.ops.aten.uniform_.default, torch.ops.aten.normal_.default, torch.ops.aten.fill_.Scalar,
    torch.ops.aten.zero_.default, _TRUNCATED_NORMAL,
}  # fmt: skip
"""Operations after which nothing of what their tensor held is left, if they are given all of it."""
EMPTY = {torch.ops.aten.empty.memory_format, torch.ops.aten.empty_strided.default, torch.ops.aten.empty_like.default}
"""Operations that give no values."""
COPYING = {torch.ops.aten.clone.default}
"""Operations that can be done share by share."""


@dataclass(frozen=True)
class _Place:
    """Where a tensor of the outline lies: a storage, by number, and the part of it."""

    storage: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype
    whole: bool
    """Whether it is all of its storage."""


@dataclass
class _Step:
    """One operation of the building."""

    function: Any
    inputs: Any
    named: Any
    output: Any
    changes: bool
    """Whether it changes a tensor in place; else it makes one."""

    @property
    def touches(self) -> set[int]:
        """Storages that it reads or writes."""
        return {place.storage for place in _places((self.inputs, self.named, self.output))}


class _Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Does whatever makes a tensor on the meta device, and notes what changes one."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[_Step] = []
        self.numbers: dict[int, int] = {}
        self.kept: list[Any] = []  # storages stay alive, so that no two have one address

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        given = [t for t in tree_leaves((args, named)) if isinstance(t, Tensor)]
        if not given:
            named["device"] = torch.device("meta")
        out = function(*args, **named)
        made = [t for t in tree_leaves(out) if isinstance(t, Tensor) and t.is_meta]
        there = {self.place(t).storage for t in given if t.is_meta}
        views = all(self.place(t).storage in there for t in made)
        if made and (not views or function._schema.is_mutable):
            self.note(function, args, named, out, function._schema.is_mutable)
        return out

    def note(self, function: Any, args: Any, named: Any, out: Any, changes: bool) -> None:
        """Note an operation."""
        inputs, names, output = tree_map(self._noted, (args, named, out))
        self.steps.append(_Step(function, inputs, names, output, changes))

    @contextmanager
    def truncated_normal(self) -> Iterator[None]:
        """Note `nn.init.trunc_normal_` as one operation: it draws until all fit, so what it does rests on numbers."""

        def noted(tensor: Tensor, *args: Any, **named: Any) -> Tensor:
            if not tensor.is_meta:
                return _TRUNCATED_NORMAL(tensor, *args, **named)
            self.note(_TRUNCATED_NORMAL, (tensor, *args), named, tensor, changes=True)
            return tensor

        nn.init._no_grad_trunc_normal_ = noted
        try:
            yield
        finally:
            nn.init._no_grad_trunc_normal_ = _TRUNCATED_NORMAL

    def place(self, tensor: Tensor) -> _Place:
        """Where a meta tensor lies."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self.numbers:
            self.numbers[storage._cdata] = len(self.numbers)
            self.kept.append(storage)
        number = self.numbers[storage._cdata]
        whole = tensor.nbytes == storage.nbytes()
        return _Place(number, tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), tensor.dtype, whole)

    def _noted(self, value: Any) -> Any:
        return self.place(value) if isinstance(value, Tensor) and value.is_meta else value


class Start:
    """What a module starts from, once it is asked for.

    Args:
        steps: the building's operations.
        places: of each parameter and buffer of the outline, by name.
        known: parameters and buffers that the building made of numbers alone.
        seed: what random numbers come from.
    """

    def __init__(self, steps: list[_Step], places: dict[str, _Place], known: dict[str, Tensor], seed: int) -> None:
        self.steps, self.places, self.known, self.seed = steps, places, known, seed

    def fill(self, module: nn.Module, device: torch.device, rank: int, count: int) -> None:
        """Give the module memory, and every parameter and buffer its values; of sharded ones this process's share.

        Args:
            module: the outline, sharded or not.
            device: where it is to be.
            rank: of this process.
            count: of processes.
        """
        from torch.distributed.tensor import DTensor

        module.to_empty(device=device)
        own = dict(_tensors(module))
        sharded = {self.places[name].storage for name in self.places if isinstance(own[name], DTensor)}
        values = _repeat(self.steps, self.seed, sharded, {p.storage for p in self.places.values()}, rank, count)
        with torch.no_grad():
            for name, place in self.places.items():
                target, value = own[name], values[place.storage]
                if isinstance(target, DTensor):
                    target.to_local().copy_(value)
                else:
                    target.copy_(_at(value, place))
            for name, tensor in self.known.items():
                own[name].copy_(tensor)


def outlined(make: Callable[[], nn.Module], seed: int) -> tuple[nn.Module, Start]:
    """A module without memory, and what it starts from.

    Args:
        make: builds it; its random numbers come from ``seed`` (`seeded`).
        seed: of these.

    Raises:
        CairnError: when a parameter gets no value, or is part of a larger tensor.
    """
    recorder = _Recorder()
    with recorder, recorder.truncated_normal():
        module = make()
    tensors = dict(_tensors(module))
    places = {name: recorder.place(t) for name, t in tensors.items() if t.is_meta}
    given = set().union(*(step.touches for step in recorder.steps if step.function not in EMPTY))
    for name, place in places.items():
        if not place.whole or not tensors[name].is_contiguous() or place.storage not in given:
            reason = f"{name}: part of a larger tensor, or without a value; its share cannot be made alone."
            raise CairnError(reason, "Set pretrain.parallel to ddp.", code="deferred")
    known = {name: t.clone() for name, t in tensors.items() if not t.is_meta}
    return module, Start(recorder.steps, places, known, seed)


def _repeat(
    steps: list[_Step], seed: int, sharded: set[int], wanted: set[int], rank: int, count: int
) -> dict[int, Tensor]:
    """Values of the wanted storages: shares of the sharded ones, others whole."""
    values: dict[int, Tensor] = {}
    cut: set[int] = set()
    uses = _uses(steps)
    with seeded(seed), torch.no_grad():
        for number, step in enumerate(steps):
            sources = _places(step.inputs)
            if step.function in COPYING and sources[0].storage in cut:
                (made,) = _places(step.output)
                values[made.storage] = values[sources[0].storage].clone()
                cut.add(made.storage)
            else:
                _do(step, values)
            for storage in step.touches:
                later = uses[storage][uses[storage].index(number) + 1 :]
                if (later and _overwrites(steps[later[0]], storage)) or (not later and storage not in wanted):
                    values.pop(storage, None)
                elif storage in sharded - cut and all(steps[n].function in COPYING for n in later):
                    values[storage] = _share(values[storage], rank, count)
                    cut.add(storage)
    return values


def _do(step: _Step, values: dict[int, Tensor]) -> None:
    """One operation, with real tensors."""
    (made,) = _places(step.output)
    if step.changes and made.storage not in values:
        values[made.storage] = torch.empty_strided(made.size, made.stride, dtype=made.dtype)

    def real(value: Any) -> Any:
        if isinstance(value, torch.device):
            return torch.device("cpu")
        return _at(values[value.storage], value) if _is_place(value) else value

    args, named = tree_map(real, (step.inputs, step.named))
    out = step.function(*args, **named)
    if not step.changes:
        values[made.storage] = out


def _uses(steps: list[_Step]) -> dict[int, list[int]]:
    """Numbers of the operations that touch each storage, in order."""
    uses: dict[int, list[int]] = {}
    for number, step in enumerate(steps):
        for storage in step.touches:
            uses.setdefault(storage, []).append(number)
    return uses


def _overwrites(step: _Step, storage: int) -> bool:
    """Whether an operation leaves nothing of what a storage held."""
    if step.function not in OVERWRITING:
        return False
    (place,) = _places(step.output)
    return place.storage == storage and place.whole


def _share(whole: Tensor, rank: int, count: int) -> Tensor:
    """A process's rows, as `fully_shard` deals them out: in chunks of equal size but for the last, or none."""
    chunks = whole.chunk(count)
    return chunks[rank].clone() if rank < len(chunks) else whole[:0].clone()


def _at(value: Tensor, place: _Place) -> Tensor:
    """The tensor that lies at a place."""
    return value.as_strided(place.size, place.stride, place.offset)


def _is_place(value: Any) -> bool:
    return isinstance(value, _Place)


def _places(values: Any) -> list[_Place]:
    return [p for p in tree_leaves(values) if _is_place(p)]


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers, those too that no state holds."""
    yield from module.named_parameters()
    yield from module.named_buffers()
