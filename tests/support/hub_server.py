"""A Hub on loopback: as much of its API as huggingface_hub needs to push and read a dataset.

It keeps repositories, branches and large files, and refuses what the real one refuses: a token that
it does not know or that may not write, a commit on top of another, large files that nobody sent.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WRITES, READS = "hf_test_of_acme_who_writes", "hf_test_of_acme_who_reads"
"""Tokens: of who may write in `acme`, and of who may only read there."""

PAGE = 10
"""Files that a listing gives at a time."""

LARGE = (".parquet", ".png")
"""Endings of large files, as a new dataset's `.gitattributes` has them."""

File = tuple[str, bytes]
"""`lfs` or `regular`, with the content."""


@dataclass
class Repo:
    """A repository: its branches, each a list of commits, each the files by name."""

    private: bool
    branches: dict[str, list[dict[str, File]]] = field(default_factory=dict)
    pull_requests: int = 0

    def head(self, revision: str) -> str:
        """Return the name of a branch's newest commit."""
        told = repr((revision, len(self.branches[revision]), self.branches[revision][-1]))
        return hashlib.sha1(told.encode()).hexdigest()


@dataclass
class Hub:
    """What the server keeps and has seen.

    Attributes:
        url: its address.
        repos: id → dataset.
        large: sha256 → content of large files that were sent.
        seen: method and path of each request.
        sent: sha256 of each large file, as often as it was sent.
        commits: names of the files of each commit, in order.
        gate: is asked before a large file ("file") or a commit ("commit") is taken, with how many
            were; may wait, or return the status with which it is refused.
        ignored: names that a `.gitignore` keeps out.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    commits: list[list[str]] = field(default_factory=list)
    gate: Callable[[str, int], int | None] = lambda what, number: None
    ignored: tuple[str, ...] = ()

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """Return name → content of what a branch holds, but for what the Hub itself put there."""
        last = self.repos[repo].branches[revision][-1]
        return {name: data for name, (_, data) in last.items() if name != ".gitattributes"}

    def save(self, repo: str, folder: Path, revision: str = "main") -> Path:
        """Write what a branch holds into a folder."""
        for name, data in self.files(repo, revision).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    def add(self, repo: str, private: bool = True, **files: bytes) -> Repo:
        """Make a dataset."""
        first = {".gitattributes": ("regular", b"*.parquet filter=lfs\n")}
        first |= {name: ("regular", data) for name, data in files.items()}
        self.repos[repo] = Repo(private, {"main": [first]})
        return self.repos[repo]


class _RefusedError(Exception):
    def __init__(self, status: int, text: str, code: str = "") -> None:
        self.status, self.text, self.code = status, text, code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    lock = threading.RLock()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Say nothing."""

    def _answer(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.seen.append(f"{self.command} {url.path}")
        try:
            for pattern, answer in ROUTES.items():
                method, path = pattern.split(" ", 1)
                found = re.fullmatch(path, url.path)
                if found and (method == self.command or (method, self.command) == ("GET", "HEAD")):
                    parts = [urllib.parse.unquote(part) for part in found.groups()]
                    return answer(self, *parts)
            raise _RefusedError(404, f"no such page: {self.command} {url.path}")
        except _RefusedError as refused:
            self._give(
                {"error": refused.text}, refused.status,
                {"X-Error-Code": refused.code, "X-Error-Message": refused.text},
            )  # fmt: skip

    do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815

    def _give(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(data)), **(headers or {})}.items():
            if text:
                self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it was killed
                self.wfile.write(data)

    def _ask_gate(self, what: str, number: int) -> None:
        if status := self.hub.gate(what, number):
            raise _RefusedError(status, "not today")

    def _may(self, write: bool = False, owner: str = "acme") -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in (WRITES, READS):
            raise _RefusedError(401, "Invalid credentials in Authorization header")
        if write and (token == READS or owner != "acme"):
            raise _RefusedError(403, f"you don't have the rights to write to {owner}")

    def _repo(self, repo: str, revision: str | None = None) -> Repo:
        if repo not in self.hub.repos:
            raise _RefusedError(404, "Repository not found", "RepoNotFound")
        found = self.hub.repos[repo]
        if revision is not None and revision not in found.branches:
            raise _RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    def _files(self, repo: str, revision: str) -> tuple[dict[str, File], str]:
        """Return the files of a branch, or of its newest commit, and the commit."""
        found = self._repo(repo)
        named = (one for one in found.branches if revision in (one, found.head(one)))
        branch = next(named, revision)
        return self._repo(repo, branch).branches[branch][-1], found.head(branch)

    def create(self) -> None:
        asked = json.loads(self.body)
        self._may(True, asked["organization"])
        repo = f"{asked['organization']}/{asked['name']}"
        assert asked["type"] == "dataset"
        if repo in self.hub.repos:
            raise _RefusedError(409, "You already created this dataset repo")
        self.hub.add(repo, asked["visibility"] == "private")
        self._give({"url": f"{self.hub.url}/datasets/{repo}"})

    def info(self, repo: str, revision: str = "main") -> None:
        self._may()
        files, commit = self._files(repo, revision)
        self._give(
            {
                "id": repo,
                "sha": commit,
                "private": self._repo(repo).private,
                "tags": [],
                "siblings": [{"rfilename": name} for name in sorted(files)],
            }
        )

    def branch(self, repo: str, branch: str) -> None:
        self._may(True, repo.split("/")[0])
        found = self._repo(repo)
        found.branches[branch] = list(found.branches["main"])
        self._give({})

    def tree(self, repo: str, revision: str, folder: str = "") -> None:
        self._may()
        files, _ = self._files(repo, revision)
        prefix = f"{folder}/" if folder else ""
        below = [name for name in sorted(files) if name.startswith(prefix)]
        if folder and not below:
            raise _RefusedError(404, f"{folder} does not exist", "EntryNotFound")
        parents = {
            prefix + "/".join(parts[:depth])
            for parts in (name.removeprefix(prefix).split("/") for name in below)
            for depth in range(1, len(parts))
        }
        entries = [_entry(name, files.get(name)) for name in sorted({*below, *parents})]
        if self.query.get("recursive", "").lower() != "true":
            entries = [one for one in entries if "/" not in one["path"].removeprefix(prefix)]
        start = int(self.query.get("cursor", "0"))
        asked = urllib.parse.urlencode({**self.query, "cursor": start + PAGE})
        more = f"{self.hub.url}{self.path.split('?')[0]}?{asked}"
        link = f'<{more}>; rel="next"' if start + PAGE < len(entries) else ""
        self._give(entries[start : start + PAGE], headers={"Link": link})

    def paths(self, repo: str, revision: str) -> None:
        self._may()
        files, _ = self._files(repo, revision)
        asked = urllib.parse.parse_qs(self.body.decode())["paths"]
        folders = {"/".join(name.split("/")[:depth]) for name in files for depth in (1, 2)}
        there = [name for name in asked if name in files or name in folders]
        self._give([_entry(name, files.get(name)) for name in there])

    def preupload(self, repo: str, revision: str) -> None:
        self._may(True, repo.split("/")[0])
        self._repo(repo, revision)
        files = json.loads(self.body)["files"]
        assert len(files) <= 256
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": file["path"] in self.hub.ignored,
            }
            for file in files
        ]
        self._give({"files": modes})

    def batch(self, repo: str) -> None:
        self._may(True, repo.split("/")[0])
        objects = json.loads(self.body)["objects"]
        for one in objects:
            if one["oid"] not in self.hub.large:
                one["actions"] = {
                    "upload": {"href": f"{self.hub.url}/large/{one['oid']}", "header": {}},
                    "verify": {"href": f"{self.hub.url}/large/verify", "header": {}},
                }
        self._give({"objects": objects, "transfer": "basic"})

    def take(self, sha256: str) -> None:
        self._ask_gate("file", len(self.hub.sent))
        if hashlib.sha256(self.body).hexdigest() != sha256:
            raise _RefusedError(400, "BadDigest")
        with self.lock:
            self.hub.sent.append(sha256)
            self.hub.large[sha256] = self.body
        self._give(b"")

    def verify(self) -> None:
        self._may(True)
        asked = json.loads(self.body)
        if len(self.hub.large.get(asked["oid"], b"")) != asked["size"]:
            raise _RefusedError(404, "not sent")
        self._give({})

    def commit(self, repo: str, revision: str) -> None:
        found = self._repo(repo, revision)
        self._may(True, repo.split("/")[0])
        self._ask_gate("commit", len(self.hub.commits))
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, found.head(revision)):
            raise _RefusedError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(found.branches[revision][-1])
        for line in lines[1:]:
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = ("regular", base64.b64decode(value["content"]))
                case "lfsFile":
                    if value["oid"] not in self.hub.large:
                        raise _RefusedError(400, f"{value['path']}: the large file was not sent")
                    files[value["path"]] = ("lfs", self.hub.large[value["oid"]])
                case "deletedFile":
                    del files[value["path"]]
        self.hub.commits.append([line["value"]["path"] for line in lines[1:]])
        made = {"commitUrl": f"{self.hub.url}/datasets/{repo}/commit/1", "commitOid": "0" * 40}
        if self.query.get("create_pr"):
            found.pull_requests += 1
            revision = f"refs/pr/{found.pull_requests}"
            found.branches[revision] = list(found.branches["main"])
            number = found.pull_requests
            made["pullRequestUrl"] = f"{self.hub.url}/datasets/{repo}/discussions/{number}"
        found.branches[revision].append(files)
        made["commitOid"] = found.head(revision)
        self._give(made)

    def validate(self) -> None:
        if "pretty_name:" not in json.loads(self.body)["content"]:
            raise _RefusedError(400, "the header has no pretty_name")
        self._give({"errors": [], "warnings": []})

    def content(self, repo: str, revision: str, name: str) -> None:
        self._may()
        files, commit = self._files(repo, revision)
        if name not in files:
            raise _RefusedError(404, f"{name} does not exist", "EntryNotFound")
        data = files[name][1]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit}
        if part := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or ""):
            first, last = int(part[1]), min(int(part[2]), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            self._give(data[first : last + 1], 206, headers)
        else:
            self._give(data, headers=headers)


def _entry(name: str, file: File | None) -> dict[str, Any]:
    """Describe a file as listings do; a folder where there is none."""
    if file is None:
        return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
    kind, data = file
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data)}
    entry["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    if kind == "lfs":
        sha256 = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
    return entry


_ID = "([^/]+/[^/]+)"
ROUTES: dict[str, Callable[..., None]] = {
    "POST /api/repos/create": _Handler.create,
    "POST /api/validate-yaml": _Handler.validate,
    f"GET /api/datasets/{_ID}": _Handler.info,
    f"GET /api/datasets/{_ID}/revision/([^/]+)": _Handler.info,
    f"POST /api/datasets/{_ID}/branch/([^/]+)": _Handler.branch,
    f"GET /api/datasets/{_ID}/tree/([^/]+)": _Handler.tree,
    f"GET /api/datasets/{_ID}/tree/([^/]+)/(.+)": _Handler.tree,
    f"POST /api/datasets/{_ID}/paths-info/([^/]+)": _Handler.paths,
    f"POST /api/datasets/{_ID}/preupload/([^/]+)": _Handler.preupload,
    f"POST /api/datasets/{_ID}/commit/([^/]+)": _Handler.commit,
    f"POST /datasets/{_ID}.git/info/lfs/objects/batch": _Handler.batch,
    "PUT /large/([0-9a-f]{64})": _Handler.take,
    "POST /large/verify": _Handler.verify,
    f"GET /datasets/{_ID}/resolve/([^/]+)/(.+)": _Handler.content,
}


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    """Start a Hub without datasets."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
