"""Files elsewhere, by real servers on this machine: XRootD, HTTP and HTTPS, S3; and what is left out of a reading."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import uproot
import yaml

from hepda.config import load_config
from hepda.errors import SourceError
from hepda.events.dataset.load import load_table
from hepda.events.files import locations
from hepda.events.files.opening import expand, open_tree
from hepda.events.resolve import dataset_spec
from tests.factory import analysis, write_analysis, write_sample

for setting, value in locations._XROOTD.items():  # as hepda does; here fixtures load the client before it
    os.environ.setdefault(setting, value)

N = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small")
    write_analysis(path, N)
    return path


def port_for_now() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    for _ in range(300):
        assert process is None or process.poll() is None, "the server has stopped"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing answers at port {port}")


# --- XRootD -------------------------------------------------------------------------------------------------------


class XRootD:
    """A real XRootD server of the files in `folder`, at `root://127.0.0.1:port//files/`."""

    def __init__(self, home: Path) -> None:
        self.folder, self.home, self.port = home / "files", home, port_for_now()
        for name, mode in (("files", 0o755), ("admin", 0o777)):  # the server runs as another user
            (home / name).mkdir()
            (home / name).chmod(mode)
        lines = ["all.export /files", f"oss.localroot {home}", f"xrd.port {self.port}", f"all.adminpath {home}/admin"]
        (home / "server.cfg").write_text("\n".join([*lines, f"all.pidpath {home}/admin", "xrd.network nodnr", ""]))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        user = ["-R", "xrootd"] if getpass.getuser() == "root" else []
        command = ["xrootd", *user, "-c", str(self.home / "server.cfg"), "-l", str(self.home / "admin/log")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.port, self.process)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def url(self, name: str) -> str:
        return f"root://127.0.0.1:{self.port}//files/{name}"


@pytest.fixture
def xrootd() -> Iterator[XRootD]:
    if shutil.which("xrootd") is None:
        pytest.skip("no XRootD server is installed (Debian: xrootd-server)")
    pytest.importorskip("XRootD", reason="the extra `xrootd` is not installed")
    pytest.importorskip("fsspec_xrootd", reason="the extra `xrootd` is not installed")
    home = Path(tempfile.mkdtemp(prefix="hepda-xrootd-"))
    home.chmod(0o755)
    server = XRootD(home)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


def test_an_analysis_by_xrootd_is_the_one_of_the_local_files(xrootd: XRootD, folder: Path, tmp_path: Path) -> None:
    """By globs and by names, every number alike; what the server does not have is told at once."""
    text = analysis()
    for name, sample in text["samples"].items():
        shutil.copy(folder / sample["files"], xrootd.folder / f"{name}-1.root")
        sample["files"] = xrootd.url(f"{name}-*.root" if name != "data" else "data-1.root")
    (tmp_path / "far.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    near, far = (
        load_table(dataset_spec(load_config(folder / "small.yaml"))),
        load_table(dataset_spec(load_config(tmp_path / "far.yaml"))),
    )
    np.testing.assert_array_equal(near.table.features, far.table.features)
    np.testing.assert_array_equal(near.table.weight, far.table.weight)
    np.testing.assert_array_equal(near.table.key, far.table.key)
    assert [file.path for file in far.files][-1] == xrootd.url("data-1.root")
    assert [file.entries for file in near.files] == [file.entries for file in far.files]
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"nothing\.root: cannot be reached.*no such file"):
        load_table(
            dataset_spec(load_config(tmp_path / "far.yaml", [f"samples.data.files={xrootd.url('nothing.root')}"]))
        )
    with pytest.raises(SourceError, match=r"samples\.x: no file matches root://.*none-\*\.root"):
        expand([xrootd.url("none-*.root")], "samples.x")
    assert time.monotonic() - started < 20  # asked once: more would not help


DEAD = """
import os, sys
from hepda.errors import SourceError
from hepda.events.files.opening import open_tree
try:
    with open_tree("root://127.0.0.1:1//a.root", retries=1): pass
except SourceError as error:
    print(error)
print(os.environ["XRD_CONNECTIONWINDOW"], os.environ["XRD_CONNECTIONRETRY"])
"""


def test_a_server_that_is_not_there_is_an_error_in_seconds_unless_the_user_waits_longer() -> None:
    pytest.importorskip("fsspec_xrootd", reason="the extra `xrootd` is not installed")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XRD_")}
    output = subprocess.run(
        [sys.executable, "-c", DEAD], env=environment | {"XRD_CONNECTIONWINDOW": "9"},
        capture_output=True, text=True, check=True, timeout=60,  # the client alone waits ten times as long
    ).stdout  # fmt: skip
    assert "root://127.0.0.1:1//a.root: cannot be reached: " in output and "It was tried 2 times." in output
    assert output.endswith("9 1\n")


def test_a_server_that_comes_back_is_asked_again(xrootd: XRootD, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "FIRST_WAIT", 0.5)
    shutil.copy(folder / "background.root", xrootd.folder / "a.root")
    with uproot.open(folder / "background.root") as file:
        expected = file["events/met"].array(library="np")
    with open_tree(xrootd.url("a.root"), "events") as tree:
        xrootd.stop()
        again = threading.Timer(1.0, xrootd.start)
        again.start()
        try:
            values = tree.read(["met"])["met"].values
        finally:
            again.join()
    np.testing.assert_array_equal(values, expected)


# --- HTTP ---------------------------------------------------------------------------------------------------------


class Ranges(SimpleHTTPRequestHandler):
    """Serves parts of files, as web storage does; the first `refusals` requests are answered by 503."""

    refusals = 0
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        if type(self).refusals:
            type(self).refusals -= 1
            self.send_error(503)
            return
        path = Path(self.translate_path(self.path.partition("?")[0]))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        asked = self.headers.get("Range", "")
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = (int(first), int(last or len(content) - 1) + 1) if first else (0, len(content))
        part = content[start:stop] if self.command == "GET" else b""
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(min(stop, len(content)) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{min(stop, len(content)) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)

    do_HEAD = do_GET  # noqa: N815 - what the standard library calls

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web(folder: Path, certificate: Path | None = None) -> Iterator[tuple[str, type[Ranges]]]:
    """A web server of `folder`: its address, and the class of its answers."""
    handler = type("Own", (Ranges,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        scheme = "http" if certificate is None else "https"
        try:
            yield f"{scheme}://127.0.0.1:{server.server_port}", handler
        finally:
            server.shutdown()
            thread.join()


def test_http_is_asked_again_while_it_is_busy_and_not_for_what_it_lacks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp", reason="the extra `https` is not installed")
    waits: list[float] = []
    monkeypatch.setattr(locations.time, "sleep", waits.append)
    with uproot.open(folder / "background.root") as file:
        expected = file["events/met"].array(library="np")
    with web(folder) as (address, answers):
        answers.refusals = 2
        with open_tree(f"{address}/background.root", "events") as tree:
            np.testing.assert_array_equal(tree.read(["met"])["met"].values, expected)
        assert waits == [1.0, 2.0]  # seconds, each twice the last
        waits.clear()
        with pytest.raises(SourceError, match=r"nothing\.root"), open_tree(f"{address}/nothing.root"):
            pass
        assert waits == []
        answers.refusals = 1000
        with (
            pytest.raises(SourceError, match=r"background\.root: cannot be reached.*503.*It was tried 3 times"),
            open_tree(f"{address}/background.root", retries=2),
        ):
            pass
        assert waits == [1.0, 2.0]


REFUSED = [(401, False), (403, False), (404, False), (410, False), (408, True), (429, True), (500, True), (503, True)]


@pytest.mark.parametrize(("status", "again"), REFUSED)
def test_what_a_server_says_is_its_status_and_not_a_number_in_the_address(status: int, again: bool) -> None:
    """A server whose port, or a file whose name, has 404 in it is asked again as any other."""
    aiohttp = pytest.importorskip("aiohttp", reason="the extra `https` is not installed")
    url = "http://127.0.0.1:40163/run403/404.root"
    error = aiohttp.ClientResponseError(SimpleNamespace(real_url=url), (), status=status, message="told")
    assert locations.passes(error, remote=True) == again
    message = "cannot be reached" if again else "cannot be opened"
    with pytest.raises(SourceError, match=message), locations.reading(url, "the file", remote=True):
        raise error


@pytest.mark.parametrize(("status", "again"), REFUSED)
def test_what_a_store_says_is_its_status(status: int, again: bool) -> None:
    botocore = pytest.importorskip("botocore.exceptions", reason="the extra `s3` is not installed")
    response = {"Error": {"Code": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert locations.passes(botocore.ClientError(response, "HeadObject 404"), remote=True) == again


def test_https(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="the extra `https` is not installed")
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    name = ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*request, *name], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    code = "import sys\nfrom hepda.events.files.opening import open_tree\n"
    code += "with open_tree(sys.argv[1]) as t: print(t.entries)"
    with web(folder, both) as (address, _):
        command = [sys.executable, "-c", code, f"{address}/background.root"]
        trusted = subprocess.run(  # which certificates are trusted is settled when a process begins
            command, env={**os.environ, "SSL_CERT_FILE": str(certificate)}, capture_output=True, text=True, check=False
        )
    assert trusted.stdout.strip() == str(N), trusted.stderr


# --- S3 -----------------------------------------------------------------------------------------------------------


def test_s3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    server_of = pytest.importorskip("moto.server", reason="no S3 server to ask: pip install 'moto[server]'")
    import boto3

    port = port_for_now()
    server = server_of.ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        for name, value in (("KEY_ID", "x"), ("ACCESS_KEY", "x")):
            monkeypatch.setenv(f"AWS_{'SECRET_' if name == 'ACCESS_KEY' else 'ACCESS_'}{name}", value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket="ntuples")
        for name in ("signal", "background"):
            client.upload_file(str(folder / f"{name}.root"), "ntuples", f"{name}.root")
        urls = expand(["s3://ntuples/*.root"], "samples.x.files")
        assert urls == ["s3://ntuples/background.root", "s3://ntuples/signal.root"]
        with uproot.open(folder / "background.root") as file:
            expected = file["events/met"].array(library="np")
        with open_tree(urls[0], "events") as tree:
            np.testing.assert_array_equal(tree.read(["met"])["met"].values, expected)
        with pytest.raises(SourceError, match=r"s3://ntuples/nothing\.root"), open_tree("s3://ntuples/nothing.root"):
            pass
    finally:
        server.stop()


# --- what is left out ---------------------------------------------------------------------------------------------


def with_a_broken_file(folder: Path, tmp_path: Path, *, basket: bool) -> Path:
    """The small analysis with a second file of background: cut short, or with a basket that does not decompress."""
    text = analysis()
    for sample in text["samples"].values():
        sample["files"] = str(folder / sample["files"])
    broken = write_sample(tmp_path / "broken.root", N, 55, False, cross_section=20.0)
    data = bytearray(broken.read_bytes())
    if basket:
        with uproot.open(broken) as file:
            at = file["events/jet_pt"].basket(0).cursor.index
            seek = file["events/jet_pt"].member("fBasketSeek")[0]
        data[seek + 120 : seek + 160] = bytes(40)
        assert at >= 0
    else:
        del data[len(data) // 2 :]
    broken.write_bytes(bytes(data))
    text["samples"]["background"]["files"] = [text["samples"]["background"]["files"], str(broken)]
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("basket", [False, True])
def test_a_broken_file_fails_or_is_left_out_with_what_it_cost(folder: Path, tmp_path: Path, basket: bool) -> None:
    path = with_a_broken_file(folder, tmp_path, basket=basket)
    with pytest.raises(SourceError, match=r"broken\.root"):
        load_table(dataset_spec(load_config(path)))
    loaded = load_table(dataset_spec(load_config(path, ["reading.on_error=skip"])))
    alone = load_table(dataset_spec(load_config(folder / "small.yaml")))
    # The sum of weights is that of the file that is left, so the yield is the same as without the broken one.
    assert loaded.samples["background"].sums == alone.samples["background"].sums
    np.testing.assert_array_equal(loaded.table.weight, alone.table.weight)
    (skipped,) = [entry for entry in loaded.manifest() if "skipped" in entry]
    assert (skipped["sample"], skipped["path"]) == ("background", str(tmp_path / "broken.root"))
    if not basket:
        assert "is truncated" in skipped["skipped"]
        assert skipped["lost"] == {"entries": None, "luminosity": None, "why": skipped["lost"]["why"]}
        assert "does not open" in skipped["lost"]["why"]
        return
    about = alone.samples["background"]
    mean = about.sum_of_weights / (4 * N)
    assert skipped["lost"]["entries"] == N
    with uproot.open(folder / "background.root") as file:
        assert about.sum_of_weights == pytest.approx(float(file["metadata/sum_of_weights"].array()[0]))
    lost = skipped["lost"]["luminosity"]
    assert 0.3 < lost * 1000 * 20.0 / (mean * 4 * N) < 3  # 1/fb: about as many events at the same cross section


def test_no_file_is_left_out_where_the_yield_would_be_wrong(folder: Path, tmp_path: Path) -> None:
    path = with_a_broken_file(folder, tmp_path, basket=False)
    overrides = ["reading.on_error=skip", "samples.background.sum_of_weights=1000"]
    with pytest.raises(SourceError, match=r"cannot be skipped: `sum_of_weights` is given for all files"):
        load_table(dataset_spec(load_config(path, overrides)))
