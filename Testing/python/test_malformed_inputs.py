"""Every way we know to get it wrong: one sentence on stderr, exit status 2, nothing written.

A case is a line of the table: what is wrong, and a function from the good files to the command line.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import shell
from dicom_files import write_series

from mrinr.cli import main
from mrinr.volume import Volume, read, write

Argv = list[object]


class Good:
    """The good files, and a folder to put bad ones in."""

    def __init__(self, files: dict[str, Path], folder: Path) -> None:
        self.t1, self.t2, self.truth = files["T1_ax"], files["T2_cor"], files["T1"]
        self.folder = folder
        self.out = folder / "out"

    def put(self, name: str, content: bytes | str = b"") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def nifti(
        self, voxels: np.ndarray, affine: np.ndarray | None = None, name: str = "bad_T1.nii.gz"
    ) -> Path:
        affine = np.diag([1.0, 1, 4, 1]) if affine is None else affine
        nib.save(nib.Nifti1Image(voxels, affine, dtype=voxels.dtype), self.folder / name)
        return self.folder / name

    def changed(self, change: Callable[[np.ndarray], object], name: str = "bad_T1.nii.gz") -> Path:
        """The good T1 stack with voxels changed."""
        volume = read(self.t1)
        voxels = volume.voxels.copy()
        change(voxels)
        write(volume.with_voxels(voxels), self.folder / name)
        return self.folder / name

    def placed(self, affine: np.ndarray, name: str = "bad_T1.nii.gz") -> Path:
        """The good T1 stack with another sform."""
        image = nib.Nifti1Image(read(self.t1).voxels, np.eye(4))
        image.set_sform(affine, code=1)
        nib.save(image, self.folder / name)
        return self.folder / name

    def superres(self, *arguments: object) -> Argv:
        return ["superres", *arguments, "--out", self.out, "--method", "cubic"]

    def degrade(self, *arguments: object) -> Argv:
        return ["degrade", self.truth, "--out", self.out / "x.nii.gz", *arguments]

    def evaluate(self, *arguments: object) -> Argv:
        return ["evaluate", "--reference", self.truth, "--json", self.out / "x.json", *arguments]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)


def cut(path: Path, fraction: float = 0.5) -> bytes:
    data = path.read_bytes()
    return data[: int(len(data) * fraction)]


def flipped_bit(path: Path) -> bytes:
    """A gzip file whose content no longer matches its check sum."""
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 1
    return bytes(raw)


def zero_spacing(g: Good) -> Path:
    image = nib.Nifti1Image(noise(16, 16, 8), None)
    raw = bytearray(image.to_bytes())
    raw[80:84] = np.float32(0).tobytes()  # pixdim[1]
    return g.put("bad_T1.nii", bytes(raw))


def nan_affine(g: Good) -> Path:
    raw = bytearray(gzip.decompress(g.t1.read_bytes()))
    raw[280:284] = np.float32(np.nan).tobytes()  # srow_x[0]
    return g.put("bad_T1.nii", bytes(raw))


def rgb(g: Good) -> Path:
    colours = np.zeros((16, 16, 8), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    return g.nifti(colours)


def sheared(g: Good) -> np.ndarray:
    affine = read(g.t1).affine.copy()
    affine[:3, 2] += affine[:3, 0]
    return affine


def singular(g: Good) -> np.ndarray:
    affine = read(g.t1).affine.copy()
    affine[:3, 1] = affine[:3, 0]
    return affine


def far_away(g: Good, name: str = "far_T2.nii.gz") -> Path:
    volume = read(g.t2)
    affine = volume.affine.copy()
    affine[:3, 3] += 5000
    write(Volume(volume.voxels, affine), g.folder / name)
    return g.folder / name


def mask(g: Good, value: float, name: str = "mask.nii.gz") -> Path:
    truth = read(g.truth)
    write(truth.with_voxels(np.full(truth.voxels.shape, value)), g.folder / name)
    return g.folder / name


def far_mask(g: Good) -> Path:
    truth = read(g.truth)
    affine = truth.affine.copy()
    affine[:3, 3] += 5000
    write(Volume(np.ones(truth.voxels.shape), affine), g.folder / "mask.nii.gz")
    return g.folder / "mask.nii.gz"


def dicom(g: Good, name: str = "T1_series", **settings: object) -> Path:
    voxels = np.random.default_rng(0).integers(0, 900, (16, 16, 8))
    write_series(g.folder / name, voxels, np.diag([1.0, 1, 4, 1]), **settings)
    return g.folder / name


def two_series(g: Good) -> Path:
    dicom(g, prefix="a")
    return dicom(g, prefix="b")


def doubled_slices(g: Good) -> Path:
    voxels = np.random.default_rng(0).integers(0, 900, (16, 16, 8))
    affine = np.diag([1.0, 1, 4, 1])
    write_series(g.folder / "T1_echoes", voxels, affine, SeriesInstanceUID="1.2.9", prefix="a")
    write_series(g.folder / "T1_echoes", voxels, affine, SeriesInstanceUID="1.2.9", prefix="b")
    return g.folder / "T1_echoes"


def crossed_localizer(g: Good) -> Path:
    voxels = np.random.default_rng(0).integers(0, 900, (16, 16, 3))
    turned = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    for prefix, affine in (("a", np.diag([1.0, 1, 4, 1])), ("b", turned)):
        write_series(g.folder / "T1_scout", voxels, affine, SeriesInstanceUID="1.2.9", prefix=prefix)
    return g.folder / "T1_scout"


def truncated_dicom(g: Good) -> Path:
    folder = dicom(g)
    for path in folder.iterdir():
        path.write_bytes(cut(path, 0.7))
    return folder


def one_truncated_dicom(g: Good) -> Path:
    folder = dicom(g)
    path = sorted(folder.iterdir())[3]
    path.write_bytes(cut(path, 0.7))
    return folder


def placeless_dicom(g: Good) -> Path:
    return dicom(g, ImagePositionPatient=None, ImageOrientationPatient=None)


NRRD = (
    "NRRD0004\ntype: float\ndimension: 3\nspace: left-posterior-superior\nsizes: 16 16 8\n"
    "space directions: (1,0,0) (0,1,0) (0,0,4)\nkinds: domain domain domain\nendian: little\n"
    "space origin: (0,0,0)\n"
)


def masked(voxels: np.ndarray, value: float) -> None:
    voxels[4:6, 4:6, 2] = value


CASES: dict[str, Callable[[Good], Argv]] = {
    # files that are not what their names say
    "missing file": lambda g: g.superres(g.folder / "T1_none.nii.gz"),
    "empty file": lambda g: g.superres(g.put("T1.nii.gz")),
    "text named .nii.gz": lambda g: g.superres(g.put("T1.nii.gz", "these are not voxels\n" * 50)),
    "text named .nii": lambda g: g.superres(g.put("T1.nii", "these are not voxels\n" * 50)),
    "text named .nrrd": lambda g: g.superres(g.put("T1.nrrd", "these are not voxels\n" * 50)),
    "text named .dcm": lambda g: g.superres(g.put("T1.dcm", "these are not voxels\n" * 50)),
    "unknown ending": lambda g: g.superres(g.put("T1.jpg", "x")),
    "folder without images": lambda g: g.superres(g.folder),
    "truncated .nii.gz": lambda g: g.superres(g.put("T1.nii.gz", cut(g.t1))),
    "truncated .nii.gz header": lambda g: g.superres(g.put("T1.nii.gz", cut(g.t1, 0.001))),
    "truncated .nii": lambda g: g.superres(g.put("T1.nii", gzip.decompress(g.t1.read_bytes())[:9000])),
    "truncated .nii header": lambda g: g.superres(g.put("T1.nii", gzip.decompress(g.t1.read_bytes())[:200])),
    "gzip with a wrong check sum": lambda g: g.superres(g.put("T1.nii.gz", flipped_bit(g.t1))),
    "truncated NRRD": lambda g: g.superres(g.put("T1.nrrd", NRRD + "encoding: raw\n\n" + "x" * 900)),
    "garbage in compressed NRRD": lambda g: g.superres(
        g.put("T1.nrrd", NRRD + "encoding: gzip\n\n" + "x" * 900)
    ),
    "NRRD without its data file": lambda g: g.superres(
        g.put("T1.nhdr", NRRD + "encoding: raw\ndata file: gone.raw\n")
    ),
    # what is in them
    "four dimensions": lambda g: g.superres(g.nifti(noise(16, 16, 8, 3))),
    "two dimensions": lambda g: g.superres(g.nifti(noise(16, 16))),
    "one slice": lambda g: g.superres(g.nifti(noise(32, 32, 1))),
    "a handful of voxels": lambda g: g.superres(g.nifti(noise(4, 4, 4))),
    "not a number": lambda g: g.superres(g.changed(lambda v: masked(v, np.nan))),
    "infinity": lambda g: g.superres(g.changed(lambda v: masked(v, np.inf))),
    "constant": lambda g: g.superres(g.changed(lambda v: v.fill(7))),
    "all zero": lambda g: g.superres(g.changed(lambda v: v.fill(0))),
    "colours": lambda g: g.superres(rgb(g)),
    "complex numbers": lambda g: g.superres(g.nifti(noise(16, 16, 8).astype(np.complex64))),
    # where they are
    "singular geometry": lambda g: g.superres(g.placed(singular(g))),
    "sheared geometry": lambda g: g.superres(g.placed(sheared(g))),
    "geometry not a number": lambda g: g.superres(nan_affine(g)),
    "voxel size zero": lambda g: g.superres(zero_spacing(g)),
    "stacks far apart": lambda g: g.superres(g.t1, far_away(g)),
    # DICOM
    "two DICOM series": lambda g: g.superres(two_series(g)),
    "missing DICOM slice": lambda g: g.superres(dicom(g, keep=[0, 1, 2, 4, 5, 6, 7])),
    "two DICOM images at one place": lambda g: g.superres(doubled_slices(g)),
    "DICOM localizer": lambda g: g.superres(dicom(g, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
    "DICOM slices in two orientations": lambda g: g.superres(crossed_localizer(g)),
    "truncated DICOM": lambda g: g.superres(truncated_dicom(g)),
    "one truncated DICOM slice": lambda g: g.superres(one_truncated_dicom(g)),
    "DICOM without positions": lambda g: g.superres(placeless_dicom(g)),
    # masks and grids
    "empty mask": lambda g: g.superres(g.t1, "--mask", mask(g, 0)),
    "mask elsewhere": lambda g: g.superres(g.t1, "--mask", far_mask(g)),
    "--like a text file": lambda g: g.superres(g.t1, "--like", g.put("like.nii", "text")),
    "--like elsewhere": lambda g: g.superres(g.t1, "--like", far_away(g)),
    "--like and --spacing": lambda g: g.superres(g.t1, "--like", g.t2, "--spacing", 1),
    # settings
    "the same stack twice": lambda g: g.superres(g.t1, g.t1),
    "no stack": lambda g: ["superres", "--out", g.out],
    "no --out": lambda g: ["superres", g.t1],
    "too few contrasts": lambda g: g.superres(g.t1, g.t2, "--contrast", "T1"),
    "contrast without a name": lambda g: g.superres(g.t1, "--contrast", "/"),
    "contrasts that differ in case": lambda g: g.superres(g.t1, g.t2, "--contrast", "T1", "t1"),
    "contrast not in the name": lambda g: g.superres(g.t1, g.changed(lambda v: v, "scan.nii.gz")),
    "unknown method": lambda g: g.superres(g.t1, "--method", "magic"),
    "unknown profile": lambda g: g.superres(g.t1, "--profile", "triangle"),
    "unknown registration": lambda g: g.superres(g.t1, "--register", "maybe"),
    "spacing zero": lambda g: g.superres(g.t1, "--spacing", 0),
    "spacing negative": lambda g: g.superres(g.t1, "--spacing=-1"),
    "spacing not a number": lambda g: g.superres(g.t1, "--spacing", "nan"),
    "spacing in words": lambda g: g.superres(g.t1, "--spacing", "fine"),
    "spacing larger than the head": lambda g: g.superres(g.t1, "--spacing", 500),
    "spacing too fine for any memory": lambda g: g.superres(g.t1, "--spacing", 0.0001),
    "thickness zero": lambda g: g.superres(g.t1, "--thickness", 0),
    "thickness negative": lambda g: g.superres(g.t1, "--thickness=-4"),
    "thickness not a number": lambda g: g.superres(g.t1, "--thickness", "nan"),
    "thickness count": lambda g: g.superres(g.t1, "--thickness", 3, 4),
    "unknown device": lambda g: g.superres(g.t1, "--device", "tpu"),
    "no threads": lambda g: g.superres(g.t1, "--threads", 0),
    "unknown option": lambda g: g.superres(g.t1, "--magic"),
    "unknown command": lambda g: ["enhance", g.t1],
    "no command": lambda g: [],
    # places to write to
    "--out is a file": lambda g: ["superres", g.t1, "--out", g.put("taken", "x")],
    "--out below a file": lambda g: ["superres", g.t1, "--out", g.put("taken", "x") / "deeper"],
    "--out cannot be made": lambda g: ["superres", g.t1, "--out", "/proc/nowhere"],
    "--json is a folder": lambda g: g.superres(g.t1, "--json", g.folder),
    # the other commands
    "degrade: factor one": lambda g: g.degrade("--axis", 2, "--factor", 1),
    "degrade: factor not a number": lambda g: g.degrade("--axis", 2, "--factor", "nan"),
    "degrade: factor larger than the volume": lambda g: g.degrade("--axis", 2, "--factor", 40),
    "degrade: no such axis": lambda g: g.degrade("--axis", 3, "--factor", 2),
    "degrade: negative noise": lambda g: g.degrade("--axis", 2, "--factor", 2, "--noise=-0.1"),
    "degrade: unknown profile": lambda g: g.degrade("--axis", 2, "--factor", 2, "--profile", "odd"),
    "degrade: unknown ending": lambda g: [
        "degrade",
        g.truth,
        "--out",
        g.out / "x.png",
        "--axis",
        2,
        "--factor",
        2,
    ],
    "degrade: --out is a folder": lambda g: [
        "degrade",
        g.truth,
        "--out",
        g.folder,
        "--axis",
        2,
        "--factor",
        2,
    ],
    "evaluate: other grid": lambda g: g.evaluate("--prediction", g.t1),
    "evaluate: mask on another grid": lambda g: g.evaluate("--prediction", g.truth, "--mask", g.t1),
    "evaluate: empty mask": lambda g: g.evaluate("--prediction", g.truth, "--mask", mask(g, 0)),
    "evaluate: no lesion": lambda g: g.evaluate("--prediction", g.truth, "--lesions", mask(g, 0)),
    "evaluate: input of zeros": lambda g: g.evaluate("--prediction", g.truth, "--input", mask(g, 0)),
    "evaluate: unknown protocol": lambda g: g.evaluate("--prediction", g.truth, "--protocol", "kind"),
    "evaluate: no prediction": lambda g: g.evaluate(),
    "simulate: no subject": lambda g: ["simulate", "--out", g.out, "--subjects", 0],
    "simulate: unknown sequence": lambda g: ["simulate", "--out", g.out, "--sequences", "T9"],
    "simulate: no such anatomy": lambda g: [
        "simulate",
        "--out",
        g.out,
        "--anatomy",
        g.folder / "none.nii.gz",
    ],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return shell.write_stacks(tmp_path_factory.mktemp("good"))


def judge(status: int, out: str, err: str, folder: Path, before: set[Path]) -> None:
    assert status == 2, err
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("mrinr: ") and lines[0].rstrip().endswith((".", ")")), err
    assert "Traceback" not in err and out == ""
    assert set(folder.rglob("*")) == before, "something was left behind"


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_one_sentence_and_status_2_and_leaves_nothing(case, files, tmp_path, capfd):
    argv = [str(a) for a in CASES[case](Good(files, tmp_path))]
    before = set(tmp_path.rglob("*"))
    capfd.readouterr()
    status = main(argv)
    judge(status, *capfd.readouterr(), tmp_path, before)


@pytest.mark.parametrize(
    "case", ["truncated .nii.gz", "one truncated DICOM slice", "unknown device", "no command"]
)
def test_it_is_the_same_in_a_process_of_its_own(case, files, tmp_path):
    argv = CASES[case](Good(files, tmp_path))
    before = set(tmp_path.rglob("*"))
    done = shell.run(*argv)
    judge(done.returncode, done.stdout, done.stderr, tmp_path, before)


def test_a_full_disk_is_said_in_one_sentence_too(files, tmp_path):
    """A limit on file size stands for the full disk, which fails in the middle of a write as well."""
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "from mrinr.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    import subprocess
    import sys

    argv = ["degrade", files["T1"], "--out", tmp_path / "x.nii.gz", "--axis", 2, "--factor", 2]
    command = [sys.executable, "-c", code, *map(str, argv)]
    done = subprocess.run(command, env=shell.environment(), capture_output=True, text=True)
    judge(done.returncode, done.stdout, done.stderr, tmp_path, set())
