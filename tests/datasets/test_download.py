"""Data sets: looked for in HEPDA_DATA first, downloaded in parts that go on, refused if their checksum is wrong."""

import hashlib
import http.server
import threading

import pytest

from hepda.cli import main
from hepda.datasets import catalogue, download
from hepda.errors import ConfigError, SourceError

CONTENT = bytes(range(256)) * 5000


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, from the byte that is asked for; `asked` keeps the ranges."""

    asked: list = []  # noqa: RUF012
    broken = False

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        part = CONTENT[start:]
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: len(part) // 2] if self.broken else part)

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Server.asked.clear()
    Server.broken = False
    yield f"http://127.0.0.1:{server.server_port}/file.bin"
    server.shutdown()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPDA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEPDA_CACHE", str(tmp_path / "cache"))
    return tmp_path


def one_set(monkeypatch, *files):
    form = tuple(file.name for file in files)
    made = catalogue.Published("toy", "A toy", "http://toy", "free", (form,), files, by_hand="toys")
    monkeypatch.setitem(catalogue.SETS, "toy", made)


def file_at(*urls, digest=None):
    return catalogue.File("file.bin", urls, digest or f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", len(CONTENT))


def test_a_file_is_downloaded_once(address, here, monkeypatch):
    one_set(monkeypatch, file_at(address))
    told = []
    (path,) = download.fetch("toy", lambda *step: told.append(step))
    assert path == here / "cache" / "toy" / "file.bin" and path.read_bytes() == CONTENT
    assert told[-1] == ("file.bin", len(CONTENT), len(CONTENT))
    assert download.fetch("toy") == (path,) and Server.asked == [None]


def test_a_download_goes_on_where_it_ended(address, here, monkeypatch):
    one_set(monkeypatch, file_at(address))
    Server.broken = True
    with pytest.raises(SourceError, match="cannot be downloaded"):
        download.fetch("toy")
    part = here / "cache" / "toy" / "file.bin.part"
    there = part.stat().st_size
    assert 0 < there < len(CONTENT)
    Server.broken = False
    (path,) = download.fetch("toy")
    assert path.read_bytes() == CONTENT and not part.exists()
    assert Server.asked == [None, f"bytes={there}-"]


def test_another_checksum_is_refused_and_the_next_address_is_tried(address, here, monkeypatch):
    one_set(monkeypatch, file_at(address, digest="sha256:" + "0" * 64))
    with pytest.raises(SourceError, match="what came is not file") as error:
        download.fetch("toy")
    assert "put into a folder that HEPDA_DATA names: toys" in str(error.value)
    assert not (here / "cache" / "toy" / "file.bin").exists()
    one_set(monkeypatch, file_at("http://127.0.0.1:9/none", address))
    assert download.fetch("toy")[0].read_bytes() == CONTENT


def test_hepda_data_comes_first_in_any_of_its_forms(here):
    assert download.find("usps") is None
    with pytest.raises(SourceError, match="hepda data fetch usps"):
        download.path_of("usps")
    folder = here / "data" / "images"
    folder.mkdir(parents=True)
    (folder / "usps.bz2").touch()
    assert download.find("usps") is None  # half of a form is none
    (folder / "usps.t.bz2").touch()
    assert [path.name for path in download.path_of("usps")] == ["usps.bz2", "usps.t.bz2"]
    (folder / "usps_16x16.npz").touch()
    assert [path.name for path in download.path_of("usps")] == ["usps_16x16.npz"]


def test_what_its_publishers_hand_out_by_form_says_so(here):
    with pytest.raises(SourceError, match="behind a form"):
        download.fetch("office31")


def test_every_published_file_has_an_address_and_a_checksum_that_pooch_knows():
    kinds = {"sha256": 64, "sha1": 40, "md5": 32}
    for name, one in catalogue.SETS.items():
        assert one.home.startswith("http") and one.licence and one.by_hand, name
        for file in one.files:
            ending = file.name.rpartition(".")[2]  # an archive of a tag is called after the tag
            assert file.urls and all(url.startswith("http") and url.endswith(ending) for url in file.urls)
            kind, _, digest = file.digest.partition(":")
            assert not file.digest or len(digest) == kinds[kind], file.name


def test_verbs(here, capsys):
    assert main(["data", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "not here" in lines["mnist"] and "not here" in lines["mnist_m"] and "made here" in lines["synthetic_digits"]
    assert main(["data", "path", "mnist_m"]) == 2
    assert "`hepda data fetch mnist` downloads it" in capsys.readouterr().err
    assert main(["data", "path", "svhn"]) == 2
    assert "train_32x32.mat and test_32x32.mat" in capsys.readouterr().err
    assert main(["data", "fetch", "minst"]) == 2
    assert "Did you mean 'mnist'?" in capsys.readouterr().err
    with pytest.raises(ConfigError):
        download.published("nothing")
