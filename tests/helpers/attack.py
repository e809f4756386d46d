"""An attacker: every way in, with every kind of path, and a watch over what is touched.

The ways in are not listed by hand: content types are those that the framework's own parser takes,
endpoints those that the page's own configuration names. An audit hook sees every file that the
process opens, moves or links, and every host that it looks up.
"""

import asyncio
import json
import mimetypes
import os
import secrets
import sys
import urllib.parse
from pathlib import Path

import fastapi
import httpx

from tests.helpers.demo_page import as_file, call, write_gradient

MARKER = "nobody else may read this"


OUTSIDE = "outside.invalid"


TOUCHES = {"open", "os.link", "os.rename", "os.symlink", "os.listdir", "os.scandir"}
TOUCHES |= {"shutil.copyfile", "shutil.move", "subprocess.Popen"}


class Watch:
    """What this process has touched; an audit hook stays for good, so there is one."""

    def __init__(self):
        self.is_on = False
        self.forbidden: list[str] = []
        self.seen: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple) -> None:
        if not self.is_on:
            return
        if event == "socket.getaddrinfo" or event == "socket.gethostbyname":
            self.seen.append(f"{event} {arguments[0]}")
        elif event in TOUCHES:
            words = " ".join(str(argument) for argument in arguments[:2])
            if any(path in words for path in self.forbidden):
                self.seen.append(f"{event} {words}")


WATCH = Watch()


def parsed_content_types() -> list[str]:
    """Ask FastAPI which of many content types it parses as JSON."""
    app = fastapi.FastAPI()

    @app.post("/")
    def echo(body: dict) -> dict:
        return body

    known = sorted({*mimetypes.types_map.values(), *mimetypes.common_types.values()})
    named = ["application/json", "text/json", "application/vnd.api+json"]
    spellings = [str.upper, str.title, lambda name: f"{name}; charset=utf-8"]
    spellings += [lambda name: f"  {name}", lambda name: f"{name};a=b,text/plain"]
    candidates = [None, "", "json", "/json", "*/*", "multipart/form-data; boundary=x", *named]
    candidates += [spell(name) for name in named for spell in spellings] + known

    async def ask() -> list[str]:
        transport = httpx.ASGITransport(app)
        taken = []
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            for kind in dict.fromkeys(candidates):
                headers = {} if kind is None else {"content-type": kind}
                answer = await client.post("/", content=b'{"marker": 1}', headers=headers)
                if answer.status_code == 200 and answer.json() == {"marker": 1}:
                    taken.append(kind)
        return taken

    return asyncio.run(ask())


CONTENT_TYPES = parsed_content_types()


class Victim:
    """Another visitor, with an upload and a result, and a secret beside the server."""

    def __init__(self, server, folder: Path, tmp_path: Path):
        self.secret = tmp_path / "secret.txt"
        self.secret.write_text(MARKER)
        photo = write_gradient(tmp_path / "private_room.jpg", 20, 30)
        self.uploads, self.result = server.run(self._visit(server, photo))
        self.folder = folder
        (folder / "link.jpg").symlink_to(self.secret)
        box = folder / self.uploads[0].split("/")[2]
        (box / "link.jpg").symlink_to(self.secret)
        self.private = [
            str(self.secret),
            *(str(folder / handle.split("/")[2]) for handle in self.uploads),
        ]
        self.private.append(str(folder / self.result.split("/")[2]))

    @staticmethod
    async def _visit(server, photo: Path) -> tuple[list[str], str]:
        async with server.client() as client:
            await client.get("/")
            files = {"files": (photo.name, photo.read_bytes())}
            handles = [
                (await client.post("/gradio_api/upload", files=files)).json()[0] for _ in "ab"
            ]
            events = await call(client, [as_file(handles.pop()), 1.0])
            result = json.loads(events.split("data: ")[-1])[0]["path"]
            assert (await client.get(f"/gradio_api/file={result}")).status_code == 200
            return handles, result

    @property
    def paths(self) -> list[str]:
        """What an attacker may ask for."""
        secret, upload = str(self.secret), self.uploads[0]
        up = "../" * 12
        box = upload.split("/")[2]
        paths = [
            secret,
            os.path.relpath(secret),
            f"/photos/{up}{secret[1:]}",
            f"/photos/{box}/{up}{secret[1:]}",
            str(self.folder / up) + secret,
            str(self.folder / "link.jpg"),
            "/photos/link.jpg",
            f"/photos/{box}/link.jpg",
            "/proc/self/environ",
            f"/proc/self/root{secret}",
            f"/proc/{os.getpid()}/cwd/pyproject.toml",
            upload,
            self.result,
            str(self.folder / upload.removeprefix("/photos/")),
            str(self.folder / self.result.removeprefix("/photos/")),
            f"http://{OUTSIDE}/x.jpg",
            f"https://{OUTSIDE}/x.jpg",
            f"HTTP://{OUTSIDE}/x.jpg",
            f"file://{secret}",
            f"//{OUTSIDE}/share/x.jpg",
            rf"\\{OUTSIDE}\share\x.jpg",
            f"{secret}\0.jpg",
            urllib.parse.quote(secret, safe=""),
            urllib.parse.quote(urllib.parse.quote(secret, safe=""), safe=""),
            f"/gradio_api/file={secret}",
        ]
        return paths


SHAPES = [
    lambda path: as_file(path),
    lambda path: [as_file(path)],
    lambda path: {"value": as_file(path), "nested": [{"deep": as_file(path)}]},
    lambda path: {
        "path": path,
        "url": path,
        "is_stream": False,
        "orig_name": "x.jpg",
        **as_file(path),
    },
    lambda path: path,
]


async def attack(
    client: httpx.AsyncClient, dependency: dict, path: str, kind: str, number: int
) -> str:
    """Send a path to one of the page's functions in one shape, in every way that Gradio has."""
    inputs, name = len(dependency["inputs"]), dependency["api_name"]
    headers = {"content-type": kind}
    shape = SHAPES[number % len(SHAPES)]
    session = secrets.token_hex(8)
    data = [shape(path)] * inputs
    body = {"data": data, "fn_index": dependency["id"], "session_hash": session}
    body["event_data"] = {"index": 0, "value": shape(path), "selected": True}
    sent = json.dumps(body).encode()
    answers = []
    joined = await client.post("/gradio_api/queue/join", content=sent, headers=headers)
    answers.append(joined.text)
    if joined.status_code == 200:
        answers.append((await client.get(f"/gradio_api/queue/data?session_hash={session}")).text)
    del body["session_hash"]
    sent = json.dumps(body).encode()
    for route in (
        f"call/{name}",
        f"call/v2/{name}",
        f"run/{name}",
        f"api/{name}",
        "component_server",
    ):
        answer = await client.post(f"/gradio_api/{route}", content=sent, headers=headers)
        answers.append(answer.text)
        if answer.status_code == 200 and "event_id" in answer.text:
            event = answer.json()["event_id"]
            answers.append((await client.get(f"/gradio_api/call/{name}/{event}")).text)
    return "".join(answers)


async def attack_everywhere(server, combinations, turn: int) -> str:
    """Attack with shapes that take turns: over all turns each function gets each shape."""
    async with server.client() as client:
        await client.get("/")
        dependencies = (await client.get("/config")).json()["dependencies"]
        assert len(dependencies) >= 8
        answers = []
        for number, (dependency, path, kind) in enumerate(combinations(dependencies)):
            answers.append(await attack(client, dependency, path, kind, turn + number))
        text = "".join(answers)
        assert "another visitor's" not in text, "refused before anything was looked at"
        return text
