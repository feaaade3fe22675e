"""Every loader on small files of its format, made in the test, and their messages about wrong files."""

import bz2
import gzip
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from hepda.config import load_any, validate_any
from hepda.config.images import ImageSetConfig
from hepda.datasets import download
from hepda.errors import ConfigError, DataError, SourceError
from hepda.images import sets, steps
from hepda.images.arrays import Images, digit_names, limited, shaped, trimmed
from hepda.images.sources import formats
from hepda.images.sources.signs import SIGNS


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPDA_DATA", str(tmp_path))
    monkeypatch.setenv("HEPDA_DATASETS", str(tmp_path / "cache"))
    return tmp_path


def digits(rng, *shape):
    return rng.integers(0, 256, shape, dtype=np.uint8)


def load(size=28, channels=3, **section):
    return sets.load(ImageSetConfig(**section), size, channels, seed=1)


def write_idx(path, values):
    head = b"\x00\x00\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(head + values.tobytes()))


def write_mnist(folder, rng, train=40, test=12):
    splits = {}
    for name, n in (("train", train), ("t10k", test)):
        splits[name] = digits(rng, n, 28, 28), (np.arange(n) % 10).astype(np.uint8)
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", splits[name][0])
        write_idx(folder / f"{name}-labels-idx1-ubyte.gz", splits[name][1])
    return splits


def picture(rng, size, suffix="png"):
    file = io.BytesIO()
    Image.fromarray(digits(rng, size, size, 3)).save(file, "PNG" if suffix == "png" else "PPM")
    return file.getvalue()


def test_mnist_from_its_four_files(data_folder):
    splits = write_mnist(data_folder, np.random.default_rng(1))
    train, test = load(data="mnist", channels=1)
    assert np.array_equal(train.pixels[:, 0], splits["train"][0]) and np.array_equal(test.label, splits["t10k"][1])
    assert train.about[0]["file"].endswith("train-images-idx3-ubyte.gz")
    (data_folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x05abc"))
    with pytest.raises(SourceError, match=r"shape \(5,\) in its header, but holds 3 bytes"):
        load(data="mnist")


def old_pickle(*pairs):
    """What Python 2's numpy wrote, as far as its opcodes go: arrays whose bytes are BINSTRINGs."""

    def array(values):
        raw = values.tobytes()
        return b"cnumpy.core.multiarray\n_reconstruct\n(" + b"T" + struct.pack("<i", len(raw)) + raw + b"tR"

    return b"\x80\x02(" + b"".join(array(a) + array(b) for a, b in pairs) + b"t."


def test_mnist_from_the_pickle_of_the_wheel_without_loading_it(data_folder):
    rng = np.random.default_rng(2)
    parts = [(digits(rng, n, 28, 28), np.arange(n) % 10) for n in (5, 3, 4)]
    pairs = [((pixels / 256.0).astype("<f4"), label.astype("<i8")) for pixels, label in parts]
    (data_folder / "mnist.pkl.gz").write_bytes(gzip.compress(old_pickle(*pairs)))
    train, test = load(data="mnist", channels=1)
    assert np.array_equal(train.pixels[:, 0], np.concatenate([parts[0][0], parts[1][0]]))
    assert np.array_equal(test.pixels[:, 0], parts[2][0]) and np.array_equal(test.label, parts[2][1])


def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(data_folder):
    class Evil:
        def __reduce__(self):
            return (data_folder.joinpath("touched").touch, ())

    (data_folder / "mnist.pkl.gz").write_bytes(gzip.compress(pickle.dumps(Evil())))
    with pytest.raises(SourceError, match="does not hold three pairs"):
        load(data="mnist")
    assert not (data_folder / "touched").exists()


def test_mnist_m_needs_photographs_of_its_own_for_each_split(data_folder):
    rng = np.random.default_rng(3)
    write_mnist(data_folder, rng)
    for split, grey in (("train", 0), ("test", 200)):
        folder = data_folder / "bsds500" / split
        folder.mkdir(parents=True)
        Image.fromarray(np.full((40, 50, 3), grey, np.uint8)).save(folder / "one.jpg", quality=95)
    mnist, mixed = load(data="mnist"), load(data="mnist_m")
    # |photograph - digit|: over black the digit itself, over grey its distance to grey
    assert np.array_equal(mixed[0].pixels, mnist[0].pixels)
    assert np.array_equal(mixed[1].pixels, np.abs(200 - mnist[1].pixels.astype(int)).astype(np.uint8))
    assert np.array_equal(mixed[1].label, mnist[1].label) and mixed[0].remarks == ()


def test_usps_in_both_forms(data_folder):
    rng = np.random.default_rng(4)
    splits = {"train": (digits(rng, 6, 16, 16), np.arange(6, dtype=np.uint8))}
    splits["test"] = digits(rng, 3, 16, 16), np.array([9, 0, 5], np.uint8)
    for split, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        pixels, label = splits[split]
        lines = []
        for image, digit in zip(pixels, label, strict=True):
            values = " ".join(f"{i + 1}:{value / 127.5 - 1.0:.6f}" for i, value in enumerate(image.ravel()) if value)
            lines.append(f"{digit + 1} {values}")
        (data_folder / name).write_bytes(bz2.compress(("\n".join(lines) + "\n").encode()))
    text = load(data="usps", size=16, channels=1)
    assert np.array_equal(text[0].pixels[:, 0], splits["train"][0]) and np.array_equal(text[1].label, splits["test"][1])
    np.savez(data_folder / "usps_16x16.npz", **{f"{x}_{s}": splits[s][i] for s in splits for i, x in enumerate("xy")})
    arrays = load(data="usps", size=16, channels=1)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(text, arrays, strict=True))
    (data_folder / "usps_16x16.npz").unlink()
    (data_folder / "usps.bz2").write_bytes(bz2.compress(b"3 1:0.5 900:1\n"))
    with pytest.raises(SourceError, match="line 1: is no USPS digit"):
        load(data="usps")


def test_svhn_turns_its_tens_into_zeros(data_folder):
    rng = np.random.default_rng(5)
    for name, n in (("train_32x32.mat", 11), ("test_32x32.mat", 4)):
        savemat(data_folder / name, {"X": digits(rng, 32, 32, 3, n), "y": (np.arange(n) % 10 + 1).reshape(-1, 1)})
    train, test = load(data="svhn", size=32)
    assert train.pixels.shape == (11, 3, 32, 32) and list(test.label) == [1, 2, 3, 4] and train.label[9] == 0
    (data_folder / "test_32x32.mat").write_bytes(b"no matlab")
    with pytest.raises(SourceError, match="is no file of SVHN"):
        load(data="svhn", size=32)


def test_gtsrb_cuts_the_signs_out(data_folder):
    rng = np.random.default_rng(6)
    head = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
    inside = np.zeros((30, 30, 3), np.uint8)
    inside[5:25, 5:25] = 255
    file = io.BytesIO()
    Image.fromarray(inside).save(file, "PPM")
    with zipfile.ZipFile(data_folder / "GTSRB_Final_Training_Images.zip", "w") as archive:
        for number in (0, 7):
            folder = f"GTSRB/Final_Training/Images/{number:05d}"
            archive.writestr(f"{folder}/a.ppm", file.getvalue())
            archive.writestr(f"{folder}/GT-{number:05d}.csv", f"{head}a.ppm;30;30;5;5;25;25;{number}\n")
    with zipfile.ZipFile(data_folder / "GTSRB_Final_Test_Images.zip", "w") as archive:
        archive.writestr("GTSRB/Final_Test/Images/00000.ppm", picture(rng, 20, "ppm"))
    with zipfile.ZipFile(data_folder / "GTSRB_Final_Test_GT.zip", "w") as archive:
        archive.writestr("GT-final_test.csv", f"{head}00000.ppm;20;20;2;2;18;18;42\n")
    train, test = load(data="gtsrb", size=40)
    assert train.pixels.shape == (2, 3, 40, 40) and bool((train.pixels == 255).all())
    assert list(train.label) == [0, 7] and list(test.label) == [42] and train.classes == SIGNS and len(SIGNS) == 43


def test_office31_in_both_forms(data_folder):
    rng = np.random.default_rng(7)
    with tarfile.open(data_folder / "domain_adaptation_images.tar.gz", "w:gz") as archive:
        for part in ("amazon", "webcam"):
            for name in ("bike", "mug"):
                content = picture(rng, 24)
                member = tarfile.TarInfo(f"{part}/images/{name}/frame_0001.png")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    packed = load(data="office31", part="webcam", size=32)
    assert packed[0].classes == ("bike", "mug") and len(packed[0]) == 2 and "transductive" in packed[0].remarks[0]
    with tarfile.open(data_folder / "domain_adaptation_images.tar.gz") as archive:
        archive.extractall(data_folder, filter="data")
    (data_folder / "dslr").mkdir()
    (data_folder / "domain_adaptation_images.tar.gz").unlink()
    unpacked = load(data="office31", part="webcam", size=32)
    assert np.array_equal(packed[0].pixels, unpacked[0].pixels)


def folder_of(path, rng, *names, images=10):
    for name in names:
        (path / name).mkdir(parents=True)
        for number in range(images):
            (path / name / f"{number}.png").write_bytes(picture(rng, 12))
    return path


def test_folders_of_classes(data_folder):
    rng = np.random.default_rng(8)
    train, test = (
        folder_of(data_folder / "a", rng, "cat", "dog"),
        folder_of(data_folder / "b", rng, "cat", "dog", images=2),
    )
    separate = load(data="folders", train=str(train), test=str(test), size=8)
    assert (len(separate[0]), len(separate[1]), separate[0].classes) == (20, 4, ("cat", "dog"))
    split = load(data="folders", train=str(train), size=8)
    assert 0 < len(split[1]) < 10 and len(split[0]) + len(split[1]) == 20
    again = load(data="folders", train=str(train), size=8)
    assert np.array_equal(split[1].pixels, again[1].pixels)
    (train / "cat" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"bad\.png: cannot be read as an image"):
        load(data="folders", train=str(train), size=8)
    folder_of(data_folder / "c", rng, "bird", images=1)
    with pytest.raises(SourceError, match="has 1 folders"):
        load(data="folders", train=str(data_folder / "c"))
    with pytest.raises(DataError, match="labels are -1"):
        load(
            data="folders", train=str(test), test=str(folder_of(data_folder / "d", rng, "cat", "cow", images=1)), size=8
        )


@pytest.mark.parametrize("name", ["mnist", "mnist_m", "usps", "svhn", "gtsrb"])
def test_what_is_not_here_says_how_it_can_be_had(data_folder, name):
    with pytest.raises(SourceError, match="hepda data fetch"):
        load(data=name)
    with pytest.raises(SourceError, match="hepda data fetch"):
        sets.check(ImageSetConfig(data=name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["synthetic_digits", "synthetic_signs"])
def test_what_is_drawn_follows_from_the_seed_and_is_of_every_class(name):
    train, test = load(data=name, images=900, size=32)
    again = load(data=name, images=900, size=32)
    assert np.array_equal(train.pixels, again[0].pixels) and (len(train), len(test)) == (900, 90)
    assert set(train.label) == set(range(len(train.classes)))
    assert train.pixels.std() > 30 and not np.array_equal(train.pixels[:90], test.pixels)
    other = sets.load(ImageSetConfig(data=name, images=90), 32, 3, seed=2)
    assert not np.array_equal(other[0].pixels, train.pixels[:90])


def test_shifted_digits_share_no_image_with_the_source():
    source, target = load(data="digits", size=8, channels=1), load(data="shifted_digits", size=8, channels=1)
    assert [len(part) for part in (*source, *target)] == [675, 224, 674, 224]
    assert not np.array_equal(source[0].label[:600], target[0].label[:600])


def test_a_margin_is_cut_off_on_every_side():
    pixels = np.zeros((2, 1, 28, 26), np.uint8)
    pixels[:, :, 3:25, 3:23] = 9
    images = Images(pixels, np.zeros(2, np.int64), digit_names())
    assert trimmed(images, 0) is images
    inside = trimmed(images, 3).pixels
    assert inside.shape == (2, 1, 22, 20) and (inside == 9).all()
    with pytest.raises(DataError, match="8 x 6 pixels"):
        trimmed(images, 10)


def test_shapes():
    grey = Images(np.full((2, 1, 8, 8), 100, np.uint8), np.array([0, 1]), digit_names())
    assert np.array_equal(shaped(grey, 16, 3).pixels, np.full((2, 3, 16, 16), 100))
    colour = Images(np.stack([np.full((4, 4), v, np.uint8) for v in (255, 0, 0)])[None], np.array([3]), digit_names())
    assert shaped(colour, 2, 1).pixels[0, 0, 0, 0] == round(0.299 * 255)
    assert len(limited(grey, 1, 1)) == 1 and len(limited(grey, 5, 1)) == 2


def test_more_labels_than_a_class_has_images_are_refused_before_a_training():
    assert len(load(data="digits", size=8, channels=1, labels_per_class=10)[0]) == 675  # a training draws them
    with pytest.raises(DataError, match=r"source\.labels_per_class: 100 labelled .* class \d has \d\d\."):
        load(data="digits", size=8, channels=1, labels_per_class=100)


def test_wrong_arrays_are_refused():
    with pytest.raises(DataError, match="uint8"):
        Images(np.zeros((1, 1, 2, 2)), np.zeros(1, np.int64), digit_names())
    with pytest.raises(DataError, match="labels are 0 to 12"):
        Images(np.zeros((2, 1, 2, 2), np.uint8), np.array([0, 12]), digit_names())
    with pytest.raises(SourceError, match="is no IDX file"):
        formats.idx(__import__("pathlib").Path(__file__))


TEXT = {
    "name": "a", "kind": "images", "source": {"data": "mnist"}, "target": {"data": "usps"}, "models": {"m": {}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": {"data": "mnits"}}, "Did you mean 'mnist'?"),
        ({"source": {"data": "office31"}}, "source.part: is given for office31"),
        ({"target": {"data": "folders"}}, "target.train: is given for `data: folders`"),
        ({"target": {"data": "usps", "labels_per_class": 4}}, "target.labels_per_class: is for the source"),
        (
            {"source": {"data": "mnist", "labels_per_class": 4}, "training": {"scorer": "nuclear-norm"}},
            "models.m.training.scorer: source.labels_per_class repeats its images",
        ),
        ({"models": {"m": {"domain": {"method": "dan"}}}}, "Did you mean 'dann'?"),
        ({"models": {"m": {"domain": {"method": "mmd", "head": [7]}}}}, "models.m.domain.head: has no effect"),
        ({"models": {"m": {"domain": {"view": ["noise"]}}}}, "domain.view: has an effect only with the methods"),
        ({"models": {"m": {"train_on": "target", "domain": {}}}}, "no domain to adapt to"),
        ({"models": {"m": {"encoder": "paper-mnist", "batch_norm": "joint"}}}, "an effect only on `encoder: small`"),
        ({"evaluation": {"confusion": ["n"]}}, "evaluation.confusion: 'n' is not a model"),
        ({"modelz": {}}, "modelz: unknown key. Did you mean 'models'?"),
    ],
)
def test_mistakes_in_the_analysis_file(change, message):
    with pytest.raises(ConfigError) as error:
        validate_any(TEXT | change)
    assert message in str(error.value)


def test_an_unknown_kind_is_told():
    with pytest.raises(ConfigError, match="Did you mean 'images'"):
        validate_any(TEXT | {"kind": "image"})


CONFIGS = (
    "digits", "mnist_m", "mnist_usps", "usps_mnist", "svhn_mnist", "synthetic_svhn", "synthetic_mnist", "signs",
    "office31", "folders",
)  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_loads_and_says_what_it_lacks(data_folder, name):
    config = load_any(f"{name}.yaml")
    assert config.kind == "images" and config.seeds >= 3
    methods = {m.domain.method for m in config.models.values() if m.domain is not None}
    assert "dann" in methods and any(m.train_on == "target" for m in config.models.values())
    lines, problems = steps.check(config)
    assert bool(problems) == (name != "digits") and len(lines) + len(problems) == 2
    assert download.find("mnist") is None
