"""A stand-in for the Hugging Face Hub on this machine.

It answers what the real client, `huggingface_hub`, asks for when it makes a
repository, commits to it and downloads from it. Each commit is kept, so that
revisions can be told apart.
"""

import base64
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

import pytest
import yaml

REPO = r"(?P<repo>[^/]+/[^/]+)"
REVISION = r"(?P<revision>[^/]+)"


class HubServer:
    """The state of the stand-in; a test may look at all of it.

    Attributes:
        commits: dict of repo id to dict of commit id to its files, a dict of
            path to bytes; oldest first.
        tags: dict of `(repo id, tag)` to commit id.
        gated: set of repo ids that nobody may read.
        failures: dict of `(method, part of the path)` to the HTTP status to
            fail such requests with.
        requests: list of `(method, path)`, all that were received.
    """

    def __init__(self):
        self.commits = {}
        self.tags = {}
        self.gated = set()
        self.failures = {}
        self.requests = []
        self.large_files = {}
        handler = type("Handler", (Handler,), {"hub": self})
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,)).start()

    def stop(self):
        self._http.shutdown()
        self._http.server_close()

    def resolve(self, repo, revision="main"):
        """Returns the commit id of a branch, a tag or a commit, or None."""
        if revision == "main":
            return list(self.commits[repo])[-1]
        if revision in self.commits[repo]:
            return revision
        return self.tags.get((repo, revision))

    def files(self, repo, revision="main"):
        return self.commits[repo][self.resolve(repo, revision)]

    def commit(self, repo, files):
        """Makes `files`, a dict of path to bytes, the newest version."""
        history = self.commits.setdefault(repo, {})
        commit = hashlib.sha1(f"{repo} {len(history)}".encode()).hexdigest()
        history[commit] = dict(files)
        return commit


class Refusal(Exception):
    """An answer other than 200, with the Hub's own code for the reason."""

    def __init__(self, status, code="", **content):
        self.status = status
        self.code = code
        self.content = content


def is_large(path):
    return path.endswith(".h5")


def etag(path, content):
    if is_large(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests; `hub` is set by the server it belongs to."""

    protocol_version = "HTTP/1.1"
    # Headers and content in one packet; the client waits 40 ms for a second.
    wbufsize = -1
    hub = None

    def do_GET(self):
        self.answer(
            (rf"/api/models/{REPO}", self.repo_info),
            (rf"/api/models/{REPO}/revision/{REVISION}", self.repo_info),
            (rf"/api/models/{REPO}/tree/{REVISION}", self.tree),
            (rf"/{REPO}/resolve/{REVISION}/(?P<path>.+)", self.file),
        )

    do_HEAD = do_GET

    def do_POST(self):
        self.answer(
            (r"/api/repos/create", self.create),
            (r"/api/validate-yaml", self.validate_yaml),
            (rf"/api/models/{REPO}/preupload/main", self.preupload),
            (rf"/{REPO}\.git/info/lfs/objects/batch", self.large_batch),
            (r"/large/(?P<oid>\w+)/verify", self.verify_large),
            (rf"/api/models/{REPO}/commit/main", self.add_commit),
        )

    def do_PUT(self):
        self.answer((r"/large/(?P<oid>\w+)", self.put_large))

    def answer(self, *routes):
        """Sends what the first route that fits returns: bytes or JSON."""
        path = urllib.parse.urlsplit(self.path).path
        self.hub.requests.append((self.command, path))
        self.body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.extra_headers = {}
        try:
            status, content = 200, self.route(path, routes)
        except Refusal as refusal:
            status, content = refusal.status, refusal.content
            self.extra_headers["X-Error-Code"] = refusal.code
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in self.extra_headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def route(self, path, routes):
        for (method, part), status in self.hub.failures.items():
            if method == self.command and part in path:
                raise Refusal(status)
        if self.command == "POST" and "Authorization" not in self.headers:
            raise Refusal(401)
        for pattern, answer in routes:
            match = re.fullmatch(pattern, path)
            if match:
                parts = match.groupdict()
                return answer(
                    **{k: urllib.parse.unquote(v) for k, v in parts.items()}
                )
        raise Refusal(404)

    def find(self, repo, revision):
        if repo in self.hub.gated:
            raise Refusal(403, "GatedRepo")
        if repo not in self.hub.commits:
            raise Refusal(404, "RepoNotFound")
        commit = self.hub.resolve(repo, revision)
        if commit is None:
            raise Refusal(404, "RevisionNotFound")
        return commit, self.hub.commits[repo][commit]

    # Reading.

    def repo_info(self, repo, revision="main"):
        commit, _ = self.find(repo, revision)
        return {"id": repo, "sha": commit}

    def tree(self, repo, revision):
        _, files = self.find(repo, revision)
        return [
            {
                "type": "file",
                "path": path,
                "size": len(content),
                "oid": etag(path, content),
            }
            for path, content in files.items()
        ]

    def file(self, repo, revision, path):
        commit, files = self.find(repo, revision)
        self.extra_headers["X-Repo-Commit"] = commit
        if path not in files:
            raise Refusal(404, "EntryNotFound")
        self.extra_headers["ETag"] = f'"{etag(path, files[path])}"'
        return files[path]

    # Writing.

    def create(self):
        request = json.loads(self.body)
        repo = f"{request['organization']}/{request['name']}"
        url = f"{self.hub.endpoint}/{repo}"
        if repo in self.hub.commits:
            raise Refusal(409, url=url)
        self.hub.commit(repo, {".gitattributes": b"*.h5 filter=lfs\n"})
        return {"url": url}

    def validate_yaml(self):
        card = json.loads(self.body)["content"]
        front_matter = re.match(r"---\r?\n(.*?)\r?\n---", card, re.DOTALL)
        if front_matter is None:
            return {"warnings": [{"message": "no metadata"}]}
        try:
            yaml.safe_load(front_matter[1])
        except yaml.YAMLError as error:
            raise Refusal(400, errors=[{"message": str(error)}]) from error
        return {}

    def preupload(self, repo):
        _, files = self.find(repo, "main")
        paths = [entry["path"] for entry in json.loads(self.body)["files"]]
        return {
            "files": [
                {
                    "path": path,
                    "uploadMode": "lfs" if is_large(path) else "regular",
                    "shouldIgnore": False,
                    "oid": etag(path, files[path]) if path in files else None,
                }
                for path in paths
            ]
        }

    def large_batch(self, repo):
        objects = json.loads(self.body)["objects"]
        for entry in objects:
            if entry["oid"] not in self.hub.large_files:
                url = f"{self.hub.endpoint}/large/{entry['oid']}"
                entry["actions"] = {
                    "upload": {"href": url},
                    "verify": {"href": f"{url}/verify"},
                }
        return {"transfer": "basic", "objects": objects}

    def put_large(self, oid):
        self.hub.large_files[oid] = self.body
        return {}

    def verify_large(self, oid):
        if hashlib.sha256(self.hub.large_files[oid]).hexdigest() != oid:
            raise Refusal(422)
        return {}

    def add_commit(self, repo):
        _, files = self.find(repo, "main")
        files = dict(files)
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.large_files[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        commit = self.hub.commit(repo, files)
        url = f"{self.hub.endpoint}/{repo}/commit/{commit}"
        return {"commitUrl": url, "commitOid": commit}

    def log_message(self, *args):
        """Keeps the test's output to itself."""


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A fresh, empty Hub that `huggingface_hub` talks to in this test."""
    import huggingface_hub
    from huggingface_hub import constants

    server = HubServer()
    # Set as constants: the client reads its environment when it is imported,
    # which another test may have done already.
    settings = {
        "ENDPOINT": server.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": (
            server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        ),
        "HF_HUB_CACHE": str(tmp_path / "hub_cache"),
        "HF_TOKEN_PATH": str(tmp_path / "no_token"),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_OFFLINE": False,
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # The client keeps connections, and the proxies they go through.
    huggingface_hub.close_session()
    yield server
    huggingface_hub.close_session()
    server.stop()
