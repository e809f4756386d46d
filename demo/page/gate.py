"""Gradio's page with a wall around its handlers: no path goes in, and none comes out.

Gradio copies whatever file, and fetches whatever web address, a request names as the value of any
component, before the component sees it. So files in a request are reduced to their handles before
Gradio looks at them, and its own `gr.File` is passed by: handlers get the handles, and `Shelf.take`
finds the file if it is the visitor's own. Gradio has a check of its own, that a path lies in its
upload folder. It is made only in a page that was launched (`has_launched`), which a mounted one
never is; the flag is set here, so that a file which got past the gate would meet that check.
"""

from typing import Any

import gradio as gr
from gradio_client import utils as client_utils

from demo.handlers import CALLER, Caller
from demo.page.doors import ANOTHERS, FILE, Listeners
from demo.photos.batch import log_failure
from demo.photos.shelf import Shelf

_FAILED = "The request cannot be worked on; check its values. The server's log says more."


class GatedBlocks(gr.Blocks):
    """`gr.Blocks` whose calls are made by known visitors, with handles.

    Args:
        shelf: where files lie.
        listeners: knows whether anybody waits for an answer.
        options: of `gr.Blocks`.
    """

    def __init__(self, shelf: Shelf, listeners: Listeners, **options: Any):
        super().__init__(**options)
        self._shelf = shelf
        self._listeners = listeners

    def guard_queue(self) -> None:
        """Let nobody put events into another visitor's session, whose stream would tell of them."""
        push = self._queue.push

        async def push_own(body: Any, request: Any, username: Any) -> Any:
            visitor = request.scope["state"]["visitor"]
            if body.session_hash and not self._listeners.belongs(body.session_hash, visitor):
                return False, ANOTHERS, "error"
            return await push(body, request, username)

        self._queue.push = push_own

    async def process_api(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        request, session = named["request"], named.get("session_hash")
        visitor = request.request.scope["state"]["visitor"]
        if session and not self._listeners.belongs(session, visitor):
            raise gr.Error(ANOTHERS, print_exception=False)
        is_listening = self._listeners.watch(session, named.get("event_id"))
        CALLER.set(Caller(visitor, is_listening))
        try:
            if (clicked := named.get("event_data")) is not None:
                clicked._data = _handles_only(clicked._data)
            return await super().process_api(*arguments, **named)
        except gr.Error as error:
            error.print_exception = False  # its frames and words may hold the names of files
            raise
        except Exception as error:
            log_failure(error)
            raise gr.Error(_FAILED, print_exception=False) from None

    async def preprocess_data(
        self, block_fn: Any, inputs: list, *arguments: Any, **named: Any
    ) -> list:
        values = [_handles_only(value) for value in inputs]
        takes_files = [isinstance(block, gr.File) for block in block_fn.inputs]
        if len(values) != len(takes_files):
            raise _unusable(values)
        others = [None if is_file else v for v, is_file in zip(values, takes_files, strict=True)]
        try:
            ready = await super().preprocess_data(block_fn, others, *arguments, **named)
        except Exception:
            raise _unusable(values) from None
        both = zip(values, ready, takes_files, strict=True)
        return [value if is_file else other for value, other, is_file in both]

    async def postprocess_data(self, *arguments: Any, **named: Any) -> list:
        return self._with_handles(await super().postprocess_data(*arguments, **named))

    def get_config_file(self) -> Any:
        config = super().get_config_file()
        for component in config["components"]:
            component.pop("example_inputs", None)  # addresses in the web, for documentation
        return self._with_handles(config)

    def _with_handles(self, value: Any) -> Any:
        def name(file: dict[str, Any]) -> dict[str, Any]:
            handle = self._shelf.handle(file["path"])
            return {**file, "path": handle, "url": f"{FILE}{client_utils.encode_file_path(handle)}"}

        return client_utils.traverse(value, name, client_utils.is_file_obj_with_meta)


def _unusable(values: list) -> gr.Error:
    return gr.Error(f"These values cannot be used: {str(values)[:200]}", print_exception=False)


def _handles_only(value: Any) -> Any:
    """Replace every file in a request's value, however deep, by its handle: a text and no more."""
    if isinstance(value, list):
        return [_handles_only(item) for item in value]
    if isinstance(value, dict):
        if "path" in value:
            return str(value["path"])
        return {key: _handles_only(item) for key, item in value.items()}
    return value
