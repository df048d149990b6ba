"""A Hugging Face Hub on this machine, for tests: it speaks the HTTP that `huggingface_hub` speaks (read from 2.4.0).

    with HubServer(tokens={"hf_good": "alice"}) as hub:
        api = HfApi(endpoint=hub.url, token="hf_good")
        api.create_repo("alice/name")
        api.upload_folder(repo_id="alice/name", folder_path=folder)
        assert hub.repos["alice/name"].files()["config.json"] == b"{}"

Everything that came is in `hub.received`, a request to an address that is not served in `hub.unknown`; `fail`, `cut`,
`cut_download` and `delay` break things. What is kept, and what makes a commit valid, is in `hub_state`; how requests and
answers go over the wire, and break there, in `hub_wire`.

Xet. No answer of a server keeps this client from uploading through Xet: with the package hf_xet installed, it takes Xet
for every file of a path or of bytes, without asking. Only HF_HUB_DISABLE_XET=1 (or the same name in
`huggingface_hub.constants`, which is read at each upload) brings it back to the LFS protocol served here. Downloads are
the other way round: they go through Xet only if a response names a Xet hash, and none does here.

Two origins, as on the real Hub: `hub.url` is the Hub, `hub.storage_url` its storage, where large objects go to and come
from. The client must not show its token to the storage, so a request that does is refused.
"""

import base64
import math
import re
import secrets
import threading
import traceback
from collections.abc import Callable, Collection, Mapping
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from .hub_state import Accounts, LfsStore, Refusal, Repo
from .hub_wire import Fault, Reply, Request, handler_of


class HubServer:
    """`tokens` maps each token to its user, `orgs` each organisation to its members. A token in `read_only` may not
    write. Files larger than `multipart_above` bytes are uploaded in parts of that size."""

    def __init__(
        self,
        tokens: Mapping[str, str],
        orgs: Mapping[str, Collection[str]] = {},
        read_only: Collection[str] = (),
        multipart_above: int | None = None,
    ):
        self.accounts, self.multipart_above = Accounts(tokens, orgs, read_only), multipart_above
        self.repos: dict[str, Repo] = {}
        self.store = LfsStore()
        self.received: list[Request] = []
        self.unknown: list[tuple[str, str]] = []
        self.crashes: list[Exception] = []  # errors of this double itself, raised when the test is over
        self.on_request: Callable[[str, str], None] | None = None  # called when the headers came, before the body
        self._faults: list[Fault] = []
        self._lock = threading.RLock()
        self._closing = threading.Event()  # ends the delays
        self._signature = secrets.token_hex(8)
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self)) for _ in range(2)]
        self.url, self.storage_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def __enter__(self) -> "HubServer":
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, exception_type, *_) -> None:
        self._closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        if self.crashes and exception_type is None:
            raise self.crashes[0]

    def environment(self, home: Any, token: str | None = None) -> dict[str, str]:
        """What to add to os.environ for a child process: `huggingface_hub` reads these when it is imported."""
        return {
            **{"HF_ENDPOINT": self.url, "HF_TOKEN": token or "", "NO_PROXY": "127.0.0.1"},
            **{"HF_HOME": str(home), "HF_HUB_CACHE": f"{home}/hub", "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"},
            **{"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
        }

    def asked(self, method: str = "", path: str = "") -> list[str]:
        """The requests so far, as "METHOD path" without the query, in the order in which they came."""
        lines = [f"{r.method} {urlsplit(r.path).path}" for r in self.received]
        return [line for line in lines if line.startswith(method) and re.search(path, line)]

    def saw(self, needle: bytes) -> list[str]:
        """The requests in which these bytes came: in the address, a header (the token's own aside) or the body, as they
        are or in base64, in which small files and the first 512 bytes of every file are sent."""
        return [f"{request.method} {request.path}" for request in self.received if needle in request.everything()]

    # ------------------------------------------------------------------ faults

    def fail(
        self,
        method: str | None,
        path: str,
        status: int,
        times: float = 1,
        headers: Mapping[str, str] = {},
        body: Any = None,
    ) -> None:
        """Answer so instead of acting. The request is read to its end first."""
        reply = Reply.of_json(body if body is not None else {"error": f"fault {status}"}, status, headers)
        self._faults.append(Fault("fail", path, times, method, reply))

    def cut(self, path: str, after_bytes: int, times: float = 1) -> None:
        """Close the connection when so much of a request's body was read; a shorter body is dropped just the same."""
        self._faults.append(Fault("cut", path, times, amount=after_bytes))

    def cut_download(self, path: str, after_bytes: int, times: float = 1) -> None:
        """Act, but close the connection when so much of the response's body was sent: on a commit, its answer is lost."""
        self._faults.append(Fault("cut_download", path, times, amount=after_bytes))

    def delay(self, path: str, seconds: float, times: float = math.inf) -> None:
        """Wait between reading a request and acting on it."""
        self._faults.append(Fault("delay", path, times, amount=seconds))

    def clear_faults(self) -> None:
        """Forget every fault."""
        self._faults.clear()

    def take_fault(self, kind: str, request: Request) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                fits = fault.kind == kind and fault.times > 0 and fault.method in (None, request.method)
                if fits and re.search(fault.path, request.path):
                    fault.times -= 1
                    return fault
        return None

    # ------------------------------------------------------------------ answering

    def answer(self, request: Request) -> Reply:
        if fault := self.take_fault("delay", request):
            self._closing.wait(fault.amount)
        if fault := self.take_fault("fail", request):
            return fault.reply
        try:
            with self._lock:  # one request at a time touches the state
                return self._route(request)
        except Refusal as refusal:
            message = refusal.message.encode("ascii", "replace").decode()  # a header cannot hold more
            codes = {"X-Error-Message": message} | ({"X-Error-Code": refusal.code} if refusal.code else {})
            return Reply.of_json({"error": refusal.message}, refusal.status, {**codes, **refusal.headers})
        except Exception as error:
            self.crashes.append(error)
            return Reply.of_json({"error": traceback.format_exc()}, 500)

    def _route(self, request: Request) -> Reply:
        for method, pattern, name in ROUTES:
            match = re.fullmatch(pattern, urlsplit(request.path).path)
            if match and request.method in method.split():
                result = getattr(self, name)(request, **{k: unquote(v or "") for k, v in match.groupdict().items()})
                return result if isinstance(result, Reply) else Reply.of_json(result)
        self.unknown.append((request.method, request.path))
        raise Refusal(404, f"This Hub does not serve {request.method} {request.path}")

    def _readable(self, request: Request, repo_id: str) -> Repo:
        """A private repository looks missing to others. Without a token both are 401. The client takes that for
        RepositoryNotFoundError by the address, but only on https; the code makes it do the same on http."""
        user, repo = self.accounts.user(request.authorization), self.repos.get(repo_id)
        if repo is not None and (not repo.private or self.accounts.owns(user, repo_id.split("/")[0])):
            return repo
        if user is None:
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        raise Refusal(404, "Repository not found", "RepoNotFound")

    def _writable(self, request: Request, repo_id: str) -> Repo:
        repo = self._readable(request, repo_id)
        self.accounts.signed_in(request.authorization)
        if not self.accounts.may_write(request.authorization, repo_id.split("/")[0]):
            raise Refusal(403, "Authorization error.")
        return repo

    # ------------------------------------------------------------------ accounts and repositories

    def whoami(self, request: Request) -> dict:
        return self.accounts.whoami(request.authorization)

    def validate_card(self, request: Request) -> Reply:
        """The real Hub checks far more; here the metadata must be YAML, and a licence one of its short names."""
        content = request.json["content"]
        if not content.startswith("---"):
            missing = {"message": "empty or missing yaml metadata in repo card"}
            return Reply.of_json({"errors": [], "warnings": [missing]})
        try:
            data = yaml.safe_load(content.split("---")[1]) or {}
            licence = data.get("license")
            wrong = (
                None
                if licence in (None, "apache-2.0", "mit", "other")
                else f'"license" must be one of ..., not {licence}'
            )
        except yaml.YAMLError as error:
            wrong = f"Bad YAML: {error}"
        errors = [{"message": wrong}] if wrong else []
        return Reply.of_json({"errors": errors, "warnings": []}, 400 if wrong else 200)

    def create_repo(self, request: Request) -> Reply:
        user, payload = self.accounts.signed_in(request.authorization), request.json
        if payload.get("type", "model") != "model":
            raise Refusal(400, f"This Hub keeps models only, not {payload['type']}.")
        namespace = payload["organization"] or user
        if not self.accounts.may_write(request.authorization, namespace):
            raise Refusal(403, f'You don\'t have the rights to create a model under the namespace "{namespace}"')
        repo_id = f"{namespace}/{payload['name']}"
        answer = {"name": repo_id, "url": f"{self.url}/{repo_id}"}
        if repo_id in self.repos:  # with the address too: `exist_ok` reads it out of the error
            return Reply.of_json({**answer, "error": "You already created this model repo"}, 409)
        self.repos[repo_id] = Repo(repo_id, private=payload.get("visibility") == "private")
        return Reply.of_json(answer)

    def info(self, request: Request, repo: str, revision: str = "") -> dict:
        kept = self._readable(request, repo)
        return kept.info(kept.at(revision or "main"), blobs="blobs" in request.query)

    def refs(self, request: Request, repo: str) -> dict:
        head = self._readable(request, repo).head.sha
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": head}
        return {"branches": [main], "tags": [], "converts": [], "pullRequests": []}

    def commits(self, request: Request, repo: str, revision: str) -> list[dict]:
        kept = self._readable(request, repo)
        upto = kept.commits.index(kept.at(revision)) + 1
        return [
            {"id": c.sha, "title": c.title, "message": c.description, "date": c.date, "authors": [{"user": c.author}]}
            for c in reversed(kept.commits[:upto])
        ]

    def tree(self, request: Request, repo: str, revision: str, path: str = "") -> list[dict]:
        kept = self._readable(request, repo)
        commit = kept.at(revision)
        if path and path not in commit.folders():
            raise Refusal(404, f"{path} does not exist on {revision}", "EntryNotFound")
        prefix = f"{path}/" if path else ""
        inside = [name for name in {*commit.tree, *commit.folders()} if name.startswith(prefix)]
        if request.query.get("recursive") != ["true"]:
            inside = [name for name in inside if "/" not in name[len(prefix) :]]
        return kept.listing(commit, inside)

    def paths_info(self, request: Request, repo: str, revision: str) -> list[dict]:
        kept = self._readable(request, repo)
        return kept.listing(kept.at(revision), parse_qs(request.body.decode()).get("paths", []))

    # ------------------------------------------------------------------ uploads, in the order of the client's calls

    def preupload(self, request: Request, repo: str, revision: str) -> dict:
        kept = self._writable(request, repo)
        tree = kept.at(revision).tree

        def verdict(path: str, sample: str, size: int) -> dict:
            mode = "lfs" if kept.is_lfs(path, size, base64.b64decode(sample)) else "regular"
            known = {"oid": tree[path].oid} if path in tree else {}
            return {"path": path, "uploadMode": mode, "shouldIgnore": False, **known}

        return {"files": [verdict(**file) for file in request.json["files"]], "commitOid": kept.head.sha}

    def lfs_batch(self, request: Request, repo: str) -> dict:
        self._writable(request, repo)
        asked = request.json
        if asked["operation"] != "upload" or asked["hash_algo"] != "sha256" or "basic" not in asked["transfers"]:
            raise Refusal(422, "Only basic and multipart uploads by sha256 are served.")
        return {"objects": [self._lfs_actions(repo, asked["transfers"], **item) for item in asked["objects"]]}

    def _lfs_actions(self, repo: str, transfers: list[str], oid: str, size: int) -> dict:
        if oid in self.store.objects:  # no actions: nothing to upload
            return {"oid": oid, "size": size}
        self.store.promised[oid] = size
        limit = self.multipart_above
        if limit is not None and size > limit and "multipart" in transfers:
            parts = {str(n + 1): self._signed(f"/storage/{oid}/{n + 1}") for n in range(math.ceil(size / limit))}
            href = f"{self.url}/api/complete_multipart?signature={self._signature}"
            upload = {"href": href, "header": {"chunk_size": str(limit), **parts}}
        else:
            upload = {"href": self._signed(f"/storage/{oid}")}
        verify = {"href": f"{self.url}/{repo}.git/info/lfs/objects/verify"}
        return {"oid": oid, "size": size, "authenticated": True, "actions": {"upload": upload, "verify": verify}}

    def _signed(self, path: str) -> str:
        return f"{self.storage_url}{path}?signature={self._signature}"

    def _check_signature(self, request: Request) -> None:
        """The storage knows no users: whoever has a signed address may use it, and a token has no business here."""
        if request.query.get("signature") != [self._signature]:
            raise Refusal(403, "The address is not signed.")
        if request.authorization:
            raise Refusal(400, "Only one auth mechanism allowed.")

    def put_object(self, request: Request, oid: str, part: str = "") -> Reply:
        self._check_signature(request)
        if "Content-Length" not in request.headers:  # such storage takes no upload of unknown length
            raise Refusal(411, "Content-Length is missing.")
        if part:
            return Reply(headers={"ETag": self.store.put_part(oid, int(part), bytes(request.body))})
        self.store.put(oid, bytes(request.body))
        return Reply()

    def complete_multipart(self, request: Request) -> dict:
        self._check_signature(request)
        self.store.complete(request.json["oid"], request.json["parts"])
        return {"success": True}

    def lfs_verify(self, request: Request, repo: str) -> dict:
        self._writable(request, repo)
        self.store.require(request.json["oid"], request.json["size"])
        return {"message": "Authorized!"}

    def commit(self, request: Request, repo: str, revision: str) -> dict:
        kept = self._writable(request, repo)
        if "create_pr" in request.query or request.headers.get("Content-Type") != "application/x-ndjson":
            raise Refusal(400, "Only commits to main are served, as application/x-ndjson.")
        made = kept.commit(revision, bytes(request.body), self.accounts.signed_in(request.authorization), self.store)
        return {"success": True, "commitOid": made.sha, "commitUrl": f"{self.url}/{repo}/commit/{made.sha}"}

    # ------------------------------------------------------------------ downloads

    def resolve(self, request: Request, repo: str, revision: str, path: str) -> Reply:
        commit = self._readable(request, repo).at(revision)
        headers = {"X-Repo-Commit": commit.sha}
        blob = commit.tree.get(path)
        if blob is None:
            raise Refusal(404, "Entry not found", "EntryNotFound", headers)
        if not blob.lfs:
            return self._content(request, blob.data, {**headers, "ETag": f'"{blob.oid}"'})
        linked = {"X-Linked-Size": str(len(blob.data)), "X-Linked-Etag": f'"{blob.oid}"'}
        return Reply(302, headers={**headers, **linked, "Location": self._signed(f"/storage/{blob.oid}")})

    def get_object(self, request: Request, oid: str) -> Reply:
        self._check_signature(request)
        if oid not in self.store.objects:
            raise Refusal(404, "No such object.")
        return self._content(request, self.store.objects[oid], {"ETag": f'"{oid}"'})

    def _content(self, request: Request, data: bytes, headers: dict[str, str]) -> Reply:
        headers = {**headers, "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
        if not match or match.groups() == ("", ""):
            return Reply(200, data, headers)
        first, last = match.groups()
        start = int(first) if first else max(len(data) - int(last), 0)
        stop = min(int(last) + 1, len(data)) if first and last else len(data)
        if start >= stop:
            raise Refusal(416, "Range Not Satisfiable", headers={"Content-Range": f"bytes */{len(data)}"})
        return Reply(206, data[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})


_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
_API = rf"/api/models/{_REPO}"
_REVISION = r"(?P<revision>[^/]+)"
_OID = r"(?P<oid>[0-9a-f]{64})"
ROUTES = [
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/validate-yaml", "validate_card"),
    ("POST", r"/api/repos/create", "create_repo"),
    ("GET", _API, "info"),
    ("GET", rf"{_API}/revision/{_REVISION}", "info"),
    ("GET", rf"{_API}/refs", "refs"),
    ("GET", rf"{_API}/commits/{_REVISION}", "commits"),
    ("GET", rf"{_API}/tree/{_REVISION}(?:/(?P<path>.+))?", "tree"),
    ("POST", rf"{_API}/paths-info/{_REVISION}", "paths_info"),
    ("POST", rf"{_API}/preupload/{_REVISION}", "preupload"),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", rf"/storage/{_OID}(?:/(?P<part>\d+))?", "put_object"),
    ("POST", r"/api/complete_multipart", "complete_multipart"),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/verify", "lfs_verify"),
    ("POST", rf"{_API}/commit/{_REVISION}", "commit"),
    ("GET HEAD", rf"/{_REPO}/resolve/{_REVISION}/(?P<path>.+)", "resolve"),
    ("GET HEAD", rf"/storage/{_OID}", "get_object"),
]
