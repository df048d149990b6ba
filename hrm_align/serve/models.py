"""A base and its adapters behind one engine: every request names its model, and requests of all models run side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from peft import PeftModel

from hrm_align.errors import UserError
from hrm_align.models.adapters import BASE
from hrm_align.rollouts.engine import MAX_RUNNING, Event, Handle, Request
from hrm_align.rollouts.local import LocalEngine


class StepFault(Exception):
    """An error of the engine in a step, raised from it. The requests that it concerns have ended, all others can continue.

    Args:
        handles: requests that have ended.
        events: tokens that the step has made for other requests.
    """

    def __init__(self, handles: Sequence[Handle], events: Sequence[Event]):
        super().__init__(f"the engine failed at {len(handles)} requests")
        self.handles, self.events = handles, events


class ServedModels:
    """Models that share the weights of one base: the base itself, and the base with each of its adapters.

    Each model has a `LocalEngine` of its own, so that its requests share batches. A step activates one adapter after the
    other, and makes one token of every running completion. Not safe for use by several threads at a time.

    Args:
        model: an HrmTextForCausalLM, or a PeftModel of one.
        base: name of the model without adapters.
        max_running: completions of one model that run at the same time.

    Attributes:
        names: names of the models, the base first.
    """

    def __init__(self, model: Any, base: str = BASE, *, max_running: int = MAX_RUNNING):
        self.model, self.base = model, base
        self.names = [base, *(model.peft_config if isinstance(model, PeftModel) else ())]
        self._engines = {name: LocalEngine(model, max_running=max_running) for name in self.names}
        self._open: dict[Handle, tuple[str, Handle, set[int]]] = {}  # model, its engine's handle, running completions
        self._next_handle = 0
        self._active: str | None = None

    def submit(self, name: str, request: Request) -> Handle:
        """Queue a request to the model of this name.

        Raises:
            UserError: if there is no such model.
        """
        if name not in self._engines:
            raise UserError(f"there is no model {name!r}. Use one of {', '.join(self.names)}.")
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        running = set(range(len(request.seeds)))
        self._open[handle] = (name, self._engines[name].submit(request), running)
        return handle

    def step(self) -> list[Event]:
        """Make one token of every running completion; returns an empty list if no request runs or waits.

        Raises:
            StepFault: if an engine raises an error.
        """
        events: list[Event] = []
        ended: list[Handle] = []
        fault: Exception | None = None
        for name in self.names:
            handles = {local: handle for handle, (owner, local, _) in self._open.items() if owner == name}
            if not handles:
                continue
            engine = self._engines[name]
            try:
                self.activate(name)
                made = engine.step()
            except Exception as error:
                fault = error
                ended += [handles[local] for local in engine.prefilling or handles]
                continue
            events += [replace(event, handle=handles[event.handle]) for event in made]
        for event in events:
            if event.finish is not None:
                running = self._open[event.handle][2]
                running.discard(event.index)
                if not running:
                    del self._open[event.handle]
        if fault is not None:
            for handle in ended:
                self.cancel(handle)
            raise StepFault(ended, events) from fault
        return events

    def cancel(self, handle: Handle) -> None:
        """End all completions of a request. Unknown and finished handles are ignored."""
        if handle in self._open:
            name, local, _ = self._open.pop(handle)
            self._engines[name].cancel(local)

    def close(self) -> None:
        """Cancel all requests and free the engines' memory. A second call does nothing."""
        self._open.clear()
        for engine in self._engines.values():
            engine.close()

    def activate(self, name: str) -> None:
        """Make `model` that of this name: its adapter, or no adapter for the base."""
        if name == self._active or not isinstance(self.model, PeftModel):
            return
        tuner: Any = self.model.base_model
        if name == self.base:
            tuner.disable_adapter_layers()
        else:
            tuner.enable_adapter_layers()
            self.model.set_adapter(name)
        self._active = name
