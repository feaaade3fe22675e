"""Pictures whose bytes mean something else than Pillow's conversion gives, and files that are damaged: an error with
the name of the file, or the same pixels, and nothing else.
"""

import bz2
import gzip
import hashlib
import io
import random
import shutil
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from hepda.datasets import download
from hepda.errors import HepdaError, SourceError
from hepda.images.sources import blending, formats
from hepda.speech.sounds import corpora


def png16(values):
    """A grey PNG of 16 bits, written by hand."""
    rows, columns = values.shape

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", columns, rows, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_grey_of_16_bits_is_scaled_to_8():
    # Pillow: convert("RGB") of its modes I and I;16 cuts values off at 255
    values = np.array([[0, 128, 129], [256, 25700, 65535]], np.uint16)
    expected = [[0, 0, 1], [1, 100, 255]]
    pgm = b"P5 3 2 65535\n" + values.astype(">u2").tobytes()
    tiff = io.BytesIO()
    Image.fromarray(values).save(tiff, "TIFF")
    for content in (png16(values), pgm, tiff.getvalue()):
        pixels = formats.rgb(content, "a.png")
        assert pixels.dtype == np.uint8 and all(pixels[:, :, channel].tolist() == expected for channel in range(3))
    assert formats.picture(png16(np.full((8, 8), 0x8000, np.uint16)), 8, "a.png").max() == 128


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_without_a_known_range_are_refused(mode):
    file = io.BytesIO()
    Image.fromarray(np.full((3, 3), 7, np.int32 if mode == "I" else np.float32)).save(file, "TIFF")
    with pytest.raises(SourceError, match=f"a.png: cannot be read as an image: values of 32 bits .mode {mode} of TIFF"):
        formats.rgb(file.getvalue(), "a.png")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_data_say(orientation):
    upright = np.zeros((4, 6, 3), np.uint8)
    upright[0, :, 0], upright[:, 0, 1] = 200, 100
    turns = {
        1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2), 6: lambda x: np.rot90(x), 7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(turns[orientation](upright))).save(file, "PNG", exif=exif)
    assert np.array_equal(formats.rgb(file.getvalue(), "a.png"), upright)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3 0:0.5", "pixel 0; there are 1 to 256"),
        ("3 -4:0.5", "pixel -4; there are 1 to 256"),
        ("3 257:0.5", "pixel 257; there are 1 to 256"),
        ("3 4:0.5 4:0.5", "pixel 4 is given twice"),
        ("3 4:1.5", "pixel 4 is 1.5; -1 to 1"),
        ("3 4:nan", "pixel 4 is nan; -1 to 1"),
        ("3.5 4:0", "its class is 3.5; 1 to 10"),
        ("11 4:0", "its class is 11; 1 to 10"),
        ("inf 4:0", "its class is inf; 1 to 10"),
        ("", "could not convert string to float"),
    ],
)
def test_a_line_of_usps_that_is_no_digit_is_named(tmp_path, line, message):
    path = tmp_path / "usps"
    path.write_text(f"1 1:0.5\n{line}\n")
    with pytest.raises(SourceError) as error:
        formats.usps_text(path)
    assert f"usps, line 2: is no USPS digit: {message}" in str(error.value)


def test_arrays_of_another_shape_type_or_range_name_their_file(tmp_path):
    pixels, label = np.zeros((3, 16, 16), np.uint8), np.arange(3)
    for x, y in ((pixels.astype(float), label), (pixels[:2], label), (pixels, label / 2), (pixels[0], label)):
        np.savez(tmp_path / "usps.npz", x_train=x, y_train=y)
        with pytest.raises(SourceError, match=r"usps\.npz: x_train is .* expected are uint8"):
            formats.usps_npz(tmp_path / "usps.npz", "train")
    pixels, label = np.zeros((32, 32, 3, 2), np.uint8), np.array([[1], [10]])
    for x, y, message in (
        (pixels[..., :1], label, "X is uint8"), (pixels * 1.0, label, "X is float64"), (pixels, -label, "other number"),
    ):  # fmt: skip
        savemat(tmp_path / "svhn.mat", {"X": x, "y": y})
        with pytest.raises(SourceError, match=rf"svhn\.mat: is no file of SVHN's cropped digits: .*{message}"):
            formats.svhn_mat(tmp_path / "svhn.mat")
    (tmp_path / "idx").write_bytes(b"\x00\x00\x08\x04" + struct.pack(">4I", 1 << 31, 1 << 31, 4, 1))
    with pytest.raises(SourceError, match="but holds 0 bytes"):  # the product of the sides is 0 in 64 bits
        formats.idx(tmp_path / "idx")
    content = io.BytesIO()
    Image.new("RGB", (9, 9)).save(content, "PPM")
    with pytest.raises(SourceError, match=r"\(2, 2, 12, 8\) is not within its 9 x 9 pixels"):
        formats.picture(content.getvalue(), 8, "a.ppm", (2, 2, 12, 8))


def png(rng):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def tar(path, rng, *names):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            content = png(rng)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def made(kind, path):
    """Write a valid file of a kind; returns its reader, which gives arrays."""
    rng = np.random.default_rng(1)
    grey, label = rng.integers(0, 256, (4, 16, 16), dtype=np.uint8), np.arange(4)
    if kind == "idx":
        path.write_bytes(gzip.compress(b"\x00\x00\x08\x03" + struct.pack(">3I", *grey.shape) + grey.tobytes()))
        return lambda: [formats.idx(path)]
    if kind == "npz":
        with path.open("wb") as file:
            np.savez_compressed(file, x_train=grey, y_train=label)
        return lambda: formats.usps_npz(path, "train")
    if kind == "text":
        path.write_bytes(bz2.compress(b"3 1:0.5 7:-0.25\n9 256:1\n"))
        return lambda: formats.usps_text(path)
    if kind == "pickle":
        digits = [rng.integers(0, 256, (2, 28, 28)) / 256 for _ in range(3)]
        parts = [part for x in digits for part in (x.astype("<f4").tobytes(), label[:2].astype("<i8").tobytes())]
        path.write_bytes(gzip.compress(b"".join(b"T" + struct.pack("<i", len(part)) + part for part in parts) + b"."))
        return lambda: [part for pair in formats.mnist_pickle(path) for part in pair]
    if kind == "mat":
        savemat(path, {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": label[:, None] + 1}, do_compression=True)
        return lambda: formats.svhn_mat(path)
    if kind == "zip":
        box = "Filename;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\na.png;1;1;8;8;7\n"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("00007/GT.csv", box)
            archive.writestr("00007/a.png", png(rng))
        return lambda: formats.gtsrb_train(path, 8)
    if kind == "tar":
        tar(path, rng, "webcam/images/mug/1.png", "webcam/images/bike/1.png")
        return lambda: formats.office31_archive(path, "webcam", 8)[:2]
    if kind == "photographs":
        tar(path, rng, "BSR/images/train/1.jpg", "BSR/images/train/2.jpg")
        return lambda: blending._from_archive(path, "train")
    if kind == "recordings":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/recordings/0_a_0.wav", bytes(range(200)))

        def unpacked():
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            return [(corpora.fsdd_folder(path) / "0_a_0.wav").read_bytes()]

        return unpacked
    path.write_bytes(png(rng))
    return lambda: [formats.picture(path.read_bytes(), 9, str(path))]


KINDS = ("idx", "npz", "text", "pickle", "mat", "zip", "tar", "photographs", "recordings", "png")


@pytest.mark.filterwarnings("ignore:Duplicate variable name")
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_an_error_with_its_name_or_changes_nothing(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(corpora, "FSDD_DIGEST", hashlib.sha256(b"0_a_0.wav" + bytes(range(200))).hexdigest())
    path = tmp_path / f"{kind}.file"
    path = path.with_suffix({"text": ".bz2", "recordings": ".zip"}.get(kind, ".file"))
    read = made(kind, path)
    original, content, draw = [np.asarray(part) for part in read()], path.read_bytes(), random.Random(kind)
    damaged = [content[: draw.randrange(len(content))] for _ in range(20)] + [b"", b"<html>not found</html>"]
    for _ in range(60):
        mutated = bytearray(content)
        for _ in range(draw.choice((1, 1, 4))):
            mutated[draw.randrange(len(content))] = draw.randrange(256)
        damaged.append(bytes(mutated))
    refused = 0
    for mutated in damaged:
        path.write_bytes(mutated)
        try:
            again = read()
        except HepdaError as error:
            assert path.name in str(error)
            refused += 1
        else:
            assert all(np.array_equal(before, after) for before, after in zip(original, again, strict=True))
    assert refused >= 22


def test_a_damaged_header_does_not_end_an_archive_early(tmp_path):
    # tarfile takes a header that it cannot read for the end of the archive, and says nothing
    made("tar", tmp_path / "a.tar.gz")
    plain = bytearray(gzip.decompress((tmp_path / "a.tar.gz").read_bytes()))
    second = plain.index(b"webcam/images/bike")
    plain[second + 148 : second + 156] = b"999999\0 "  # its checksum
    (tmp_path / "a.tar").write_bytes(plain)
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert len(archive.getnames()) == 1
    with pytest.raises(SourceError, match="something other than a file at byte"):
        download.tar_files(tmp_path / "a.tar", lambda name: True)
