"""Data sets: looked for in HEPDA_DATA first, downloaded in parts that go on, refused if their checksum is wrong."""

import hashlib
import http.server
import tarfile
import threading
import zipfile

import pytest

from hepda.cli import main
from hepda.datasets import catalogue, download
from hepda.errors import ConfigError, SourceError

CONTENT = bytes(range(256)) * 5000


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, from the byte that is asked for; `asked` keeps the ranges."""

    asked: list = []  # noqa: RUF012
    broken = False
    tag = None
    content = CONTENT

    def do_GET(self):
        byte_range = self.headers.get("Range")
        self.asked.append(byte_range)
        if self.headers.get("If-Range") not in (None, self.tag):
            byte_range = None
        start = int(byte_range.removeprefix("bytes=").rstrip("-")) if byte_range else 0
        self.send_response(206 if byte_range else 200)
        part = self.content[start:]
        if self.tag:
            self.send_header("ETag", self.tag)
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
    Server.broken, Server.tag, Server.content = False, None, CONTENT
    yield f"http://127.0.0.1:{server.server_port}/file.bin"
    server.shutdown()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPDA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEPDA_DATASETS", str(tmp_path / "cache"))
    return tmp_path


def one_set(monkeypatch, *files):
    form = tuple(file.name for file in files)
    data_set = catalogue.Published("toy", "A toy", "http://toy", "free", (form,), files, by_hand="toys")
    monkeypatch.setitem(catalogue.SETS, "toy", data_set)


def file_at(*urls, digest=None):
    return catalogue.File("file.bin", urls, digest or f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", len(CONTENT))


def test_a_file_is_downloaded_once(address, here, monkeypatch):
    one_set(monkeypatch, file_at(address))
    steps = []
    (path,) = download.fetch("toy", lambda *step: steps.append(step))
    assert path == here / "cache" / "toy" / "file.bin" and path.read_bytes() == CONTENT
    assert steps[-1] == ("file.bin", len(CONTENT), len(CONTENT))
    assert download.fetch("toy") == (path,) and Server.asked == [None]


def test_a_download_goes_on_where_it_ended(address, here, monkeypatch):
    one_set(monkeypatch, file_at(address))
    Server.broken = True
    with pytest.raises(SourceError, match="cannot be downloaded"):
        download.fetch("toy")
    part = here / "cache" / "toy" / "file.bin.part"
    present = part.stat().st_size
    assert 0 < present < len(CONTENT)
    Server.broken = False
    (path,) = download.fetch("toy")
    assert path.read_bytes() == CONTENT and not part.exists()
    assert Server.asked == [None, f"bytes={present}-"]


def interrupted(here, address):
    Server.broken = True
    with pytest.raises(SourceError, match="cannot be downloaded"):
        download.fetch("toy")
    Server.broken = False
    Server.asked.clear()
    return here / "cache" / "toy" / "file.bin.part"


def test_a_part_of_other_content_is_not_continued(address, here, monkeypatch):
    one_set(monkeypatch, file_at(address))
    part = interrupted(here, address)
    (part.with_name("file.bin.part.json")).unlink()  # bytes of nobody knows what
    assert download.fetch("toy")[0].read_bytes() == CONTENT and Server.asked == [None]


def test_a_part_of_another_address_or_checksum_is_not_continued(address, here, monkeypatch):
    one_set(monkeypatch, file_at(address, digest="sha256:" + "0" * 64))
    part = interrupted(here, address)
    assert part.exists()
    one_set(monkeypatch, file_at(address))
    assert download.fetch("toy")[0].read_bytes() == CONTENT and Server.asked == [None]


def test_a_file_that_the_server_has_changed_is_not_continued(address, here, monkeypatch):
    Server.tag, Server.content = '"1"', CONTENT[::-1]
    one_set(monkeypatch, file_at(address))
    part = interrupted(here, address)
    present = part.stat().st_size
    Server.tag, Server.content = '"2"', CONTENT
    assert download.fetch("toy")[0].read_bytes() == CONTENT and not part.exists()
    assert Server.asked == [f"bytes={present}-"]  # with If-Range: the server sends the whole


def test_a_part_that_went_on_and_became_another_file_is_begun_anew(address, here, monkeypatch):
    one_set(monkeypatch, file_at(address))
    part = interrupted(here, address)
    present = part.stat().st_size
    part.write_bytes(b"x" * present)  # damaged on the disk, and the server tells no version
    assert download.fetch("toy")[0].read_bytes() == CONTENT
    assert Server.asked == [f"bytes={present}-", None] and not part.exists()
    assert sorted(path.name for path in part.parent.iterdir()) == ["file.bin"]


def test_what_is_here_already_is_verified(address, here, monkeypatch, capsys):
    one_set(monkeypatch, file_at(address))
    (path,) = download.fetch("toy")
    assert download.verify("toy", [path]) == "the sha256 of each file"
    path.write_bytes(b"y" * len(CONTENT))  # in the cache: fetched again
    assert download.fetch("toy") == (path,) and path.read_bytes() == CONTENT and len(Server.asked) == 2
    users_file = here / "data" / "toy" / "file.bin"
    users_file.parent.mkdir(parents=True)
    users_file.write_bytes(b"z")  # put there by somebody: an error, and it stays
    assert main(["data", "fetch", "toy"]) == 2
    assert "file.bin is not what was published: its sha256 is" in capsys.readouterr().err and users_file.exists()
    users_file.write_bytes(CONTENT)
    assert main(["data", "fetch", "toy"]) == 0
    output = capsys.readouterr()
    assert output.out.split() == [str(users_file)] and "toy: verified by the sha256 of each file" in output.err


def test_a_download_with_another_checksum_than_sha256_gets_one(address, here, monkeypatch):
    one_set(monkeypatch, file_at(address, digest=f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"))
    (path,) = download.fetch("toy")
    note = path.with_name("file.bin.sha256")
    assert note.read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  file.bin\n"
    assert download.verify("toy", [path]) == "the md5 of each file and the sha256 of each file"
    note.write_text("0" * 64 + "  file.bin\n")
    with pytest.raises(SourceError, match="not what was published: its sha256"):
        download.verify("toy", [path])
    note.write_text("")
    with pytest.raises(SourceError, match="is no line of sha256sum"):
        download.verify("toy", [path])


def archives(tmp_path):
    """The same four photographs in folders, a zip and a tar, with others that do not count."""
    files = {
        "train/1.jpg": b"one",
        "train/2.jpg": b"two",
        "test/1.jpg": b"three",
        "val/1.jpg": b"x",
        "test/a.mat": b"y",
    }
    for name, content in files.items():
        path = tmp_path / "bsds500" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        for name in reversed(files):
            archive.write(tmp_path / "bsds500" / name, f"BSR/images/{name}")
            tar.add(tmp_path / "bsds500" / name, f"BSR/images/{name}")
    folders = [tmp_path / "bsds500" / name for name in ("train", "test")]
    return folders, [tmp_path / "a.zip"], [tmp_path / "a.tgz"]


def test_contents_are_the_same_in_folders_and_in_archives(tmp_path, monkeypatch):
    digest = hashlib.sha256(b"test/1.jpgthreetrain/1.jpgonetrain/2.jpgtwo").hexdigest()
    contents = catalogue.Contents(digest, ".jpg", ("train", "test"))
    data_set = catalogue.Published("toy", "A toy", "http://toy", "free", ((),), contents=contents)
    monkeypatch.setitem(catalogue.SETS, "toy", data_set)
    for paths in archives(tmp_path):
        assert download.verify("toy", paths) == "the sha256 over the files within"
    (tmp_path / "bsds500" / "train" / "2.jpg").write_bytes(b"twO")
    with pytest.raises(SourceError, match="files within are not those that were published"):
        download.verify("toy", [tmp_path / "bsds500" / "train", tmp_path / "bsds500" / "test"])
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(SourceError, match=r"a\.zip: cannot be read"):
        download.verify("toy", [tmp_path / "a.zip"])


@pytest.mark.parametrize("name", ["bsds500", "fsdd"])
def test_the_digests_of_contents_are_those_of_the_files_of_the_project(name):
    paths = download.find(name)
    if paths is None:
        pytest.skip(f"HEPDA_DATA has no {name}")
    assert download.verify(name, paths) == "the sha256 over the files within"


def test_another_checksum_is_refused_and_the_next_address_is_tried(address, here, monkeypatch):
    one_set(monkeypatch, file_at(address, digest="sha256:" + "0" * 64))
    with pytest.raises(SourceError, match="the download is not file") as error:
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


def test_downloads_have_a_folder_of_their_own(here, monkeypatch):
    """HEPDA_CACHE names tables of events, any of which may be removed."""
    monkeypatch.setenv("HEPDA_CACHE", str(here / "tables"))
    assert download.data_folders() == [here / "data", here / "cache"]
    monkeypatch.delenv("HEPDA_DATASETS")
    assert here / "tables" not in download.data_folders()


def test_a_form_obtained_by_hand_is_verified_too(here):
    (here / "data").mkdir()
    (here / "data" / "mnist.pkl.gz").write_bytes(b"something else")
    with pytest.raises(SourceError, match="not what was published"):
        download.fetch("mnist")


def test_what_its_publishers_hand_out_by_form_says_so(here):
    with pytest.raises(SourceError, match="after filling in a form"):
        download.fetch("office31")


def test_every_published_file_has_an_address_and_a_checksum_that_pooch_knows():
    kinds = {"sha256": 64, "sha1": 40, "md5": 32}
    for data_set in catalogue.SETS.values():  # a digest of ours over the contents, where no file has one
        assert data_set.contents is None or len(data_set.contents.digest) == 64
        # Edinburgh DataShare gives none: by https, and the SHA-256 of the first download is kept beside it.
        assert all(file.digest or data_set.contents for file in data_set.files) or data_set.name == "voicebank"
        for file in data_set.files:  # by http alone only what is compared with a SHA-256
            sha256 = file.digest.startswith("sha256:") or data_set.contents is not None
            assert sha256 or all(url.startswith("https://") for url in file.urls), file.name
    for name, data_set in catalogue.SETS.items():
        assert data_set.home.startswith("http") and data_set.licence and data_set.by_hand, name
        for file in data_set.files:
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
