"""Gradio's page, guarded: no path goes into its handlers, and none comes out.

Gradio copies whatever file, and fetches whatever web address, a request names as the value of any
component, before the component sees it. So files in a request are reduced to their handles before
Gradio looks at them, and its own `gr.File` is passed by: handlers get the handles, and
`Storage.take` finds the file if it is the visitor's own. Gradio has a check of its own, that a path
lies in its upload folder. It is made only in a page that was launched (`has_launched`), which a
mounted one never is; `demo.app` sets the flag, so that a file which got past would meet that check.
"""

from typing import Any

import gradio as gr
from gradio_client import utils as client_utils

from demo.handlers import CALLER, Caller
from demo.page.routes import FILE, NAME
from demo.page.streams import ANOTHERS, Streams
from demo.photos.batch import log_failure
from demo.photos.limits import Refused
from demo.photos.storage import Storage

_LONGEST_HANDLE = 300
_MOST_UNREAD = 64
"""Events of one account whose answers nobody has read yet."""
_UNREAD = "Many answers of yours wait to be read. Read them, or try again in a minute."
_FAILED = "This could not be done; the server's log says why."
_GONE = "These photos were deleted in the meantime. Drop them again."


class GuardedBlocks(gr.Blocks):
    """`gr.Blocks` whose calls are made by known visitors, with handles."""

    def __init__(self, storage: Storage, streams: Streams, **options: Any):
        super().__init__(**options)
        self._storage = storage
        self._streams = streams

    def guard_queue(self) -> None:
        """Let nobody put events into another visitor's session, or leave many answers unread."""
        push, pending = self._queue.push, self._queue.pending_event_ids_session
        self._queue.ANALYTICS_MAX_EVENTS = 0  # a table of all events, made anew after each
        self._streams.on_forgotten = self._forget

        async def push_own(body: Any, request: Any, username: Any) -> Any:
            visitor = request.scope["state"]["visitor"]
            name = body.session_hash
            if name and not (NAME.fullmatch(name) and self._streams.belongs(name, visitor)):
                if name not in self._streams:
                    self._forget(name)  # Gradio has begun it already
                return False, ANOTHERS, "error"
            names = self._streams.of_account(visitor.account)
            for deserted in filter(self._streams.is_deserted, names):
                self._drop_answers(deserted)
            if sum(len(pending.get(name, ())) for name in names) >= _MOST_UNREAD:
                return False, _UNREAD, "error"
            body.batched = False  # nothing here is, whatever a request says
            try:
                answer = await push(body, request, username)
            except KeyError:
                return False, "There is no such function.", "error"
            if answer[0] and not name:
                self._streams.belongs(str(answer[1]), visitor)
            return answer

        self._queue.push = push_own

    def _forget(self, name: str) -> None:
        """End a session: its answers, its photos, and what Gradio keeps of it."""
        self._drop_answers(name)
        self.state_holder.delete_state(name)
        self.state_holder.session_data.pop(name, None)
        self.state_holder.time_last_used.pop(name, None)

    def _drop_answers(self, name: str) -> None:
        queue = self._queue
        for event in list(queue.event_ids_to_events.values()):
            if event.session_hash == name:
                event.alive = False
        queue.pending_messages_per_session.pop(name, None)
        queue.pending_event_ids_session.pop(name, None)

    async def process_api(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        session_hash = named.get("session_hash")
        visitor = named["request"].request.scope["state"]["visitor"]
        if session_hash and not self._streams.belongs(session_hash, visitor):
            raise _said(ANOTHERS)
        is_listening = self._streams.watch(session_hash, named.get("event_id"))
        CALLER.set(Caller(visitor, is_listening))
        try:
            if (clicked := named.get("event_data")) is not None:
                clicked._data = _handles_only(clicked._data)
            return await super().process_api(*arguments, **named)
        except gr.Error as error:
            raise _said(error.message) from None  # without its frames, which hold names of files
        except Refused as refusal:
            raise _said(str(refusal)) from None
        except FileNotFoundError:
            raise _said(_GONE) from None
        except Exception as error:
            log_failure(error)
            raise _said(_FAILED) from None

    async def preprocess_data(
        self, block_fn: Any, inputs: list, *arguments: Any, **named: Any
    ) -> list:
        values = [_handles_only(value) for value in inputs]
        takes_files = [isinstance(block, gr.File) for block in block_fn.inputs]
        try:
            both = list(zip(values, takes_files, strict=True))
            others = [None if is_file else value for value, is_file in both]
            ready = await super().preprocess_data(block_fn, others, *arguments, **named)
        except Exception:
            raise _said(f"These values cannot be used: {str(values)[:200]}") from None
        return [v if is_file else r for (v, is_file), r in zip(both, ready, strict=True)]

    async def postprocess_data(self, *arguments: Any, **named: Any) -> list:
        return self._with_handles(await super().postprocess_data(*arguments, **named))

    def get_config_file(self) -> Any:
        config = super().get_config_file()
        for component in config["components"]:
            component.pop("example_inputs", None)  # addresses in the web, for documentation
            # Gradio copies the whole configuration for every page that is opened, and with a method
            # its object: here everything down to the model.
            component["props"].pop("delete_callback", None)
        return self._with_handles(config)

    def _with_handles(self, value: Any) -> Any:
        def name(file: dict[str, Any]) -> dict[str, Any]:
            handle = self._storage.handle(file["path"])
            return {**file, "path": handle, "url": f"{FILE}{client_utils.encode_file_path(handle)}"}

        return client_utils.traverse(value, name, client_utils.is_file_obj_with_meta)


def _said(sentence: str) -> gr.Error:
    return gr.Error(sentence, print_exception=False)


def _handles_only(value: Any) -> Any:
    """Replace every file in a request's value, however deep, by its handle: a text and no more."""
    if isinstance(value, list):
        return [_handles_only(item) for item in value]
    if isinstance(value, dict):
        if "path" in value:
            return str(value["path"])[:_LONGEST_HANDLE]
        return {key: _handles_only(item) for key, item in value.items()}
    return value
