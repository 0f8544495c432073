"""Small published data sets, made here and served from this machine."""

import hashlib
import http.server
import threading
import time

import pytest

from attnlib.datasets import registry, store


class Publisher:
    """A web server on 127.0.0.1 that counts what it is asked for."""

    def __init__(self):
        self.files = {}
        self.requests = []
        self.delay = 0.0
        self.cut = None
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.requests.append(self.path)
                content = publisher.files.get(self.path.lstrip("/"))
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                time.sleep(publisher.delay)
                if publisher.cut is None:
                    self.wfile.write(content[len(content) // 2 :])

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(
            target=self.server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def publish(self, name, content) -> registry.RemoteFile:
        """Serve a file and return its entry for the registry."""
        self.files[name] = content
        return registry.RemoteFile(
            name,
            (self.url + name,),
            hashlib.sha256(content).hexdigest(),
            len(content),
        )

    def close(self):
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def publisher():
    """Return a server of data set files."""
    publisher = Publisher()
    yield publisher
    publisher.close()


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Give every test a cache of its own and no data folder."""
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ATTNLIB_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    store._hash_of.cache_clear()
    registry.all_sets()  # kept for good: not as a test changes it


@pytest.fixture
def toy(publisher, monkeypatch):
    """Register a data set `toy` of two files, published by `publisher`."""
    dataset = registry.DataSet(
        name="toy",
        description="Two files",
        licence="CC0",
        citation="Nobody",
        homepage=publisher.url,
        read=lambda split, *, colour="red": {"split": split, "colour": colour},
        files=(
            publisher.publish("a.bin", b"a" * 1000),
            publisher.publish("b.bin", b"b" * 2000),
        ),
    )
    known = registry.all_sets() | {"toy": dataset}
    monkeypatch.setattr(registry, "all_sets", lambda: known)
    return dataset
