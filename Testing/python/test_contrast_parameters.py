"""TR, TE and TI from what people type and scanners write: right, or one sentence."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from mrinr.contrast.parameters import (
    NULLABLE,
    PRESETS,
    from_meta,
    outside,
    parse,
    parse_input,
    sequence,
    text_of,
    times,
    title_of,
    with_null,
)
from mrinr.errors import InputError
from mrinr.formats.sidecar import read as read_sidecar
from mrinr.simulation.signal import signal

BOX = {"TR": [400, 10000], "TE": [5, 200], "TI": [100, 3500]}


def sentence(action) -> str:
    with pytest.raises(InputError) as caught:
        action()
    said = str(caught.value)
    assert said.endswith(".") and "\n" not in said
    return said


@pytest.mark.parametrize(
    "wrong, words",
    [
        ((None, 100), "TR of scan.nii is missing"),
        (("", 100), "TR of scan.nii is missing"),
        ((5000, None), "TE of scan.nii is missing"),
        ((0, 100), "TR of scan.nii is 0 ms and must be above 0"),
        ((5000, 0), "TE of scan.nii is 0 ms and must be above 0"),
        ((-5000, 100), "must be above 0"),
        ((5000, -3), "must be above 0"),
        ((5000, 100, -1), "TI of scan.nii is -1 ms and must not be negative"),
        ((2.5, 100), "looks like seconds; for 2.5 s give 2500"),
        ((5000, 0.1), "for 0.1 s give 100"),
        ((8000, 100, 2.1), "for 2.1 s give 2100"),
        ((100, 5000), "TE of scan.nii (5000 ms) is longer than its TR (100 ms)"),
        ((2000, 10, 2500), "TI of scan.nii (2500 ms) is longer than its TR"),
        ((2000, 100, 1900), "do not fit into TR"),
        ((2000, 1500), "do not fit into TR"),
        (("long", 100), "TR of scan.nii is 'long', which is no number"),
        ((float("nan"), 100), "no number"),
        ((5000, float("inf")), "no number"),
    ],
)
def test_wrong_times_get_one_sentence_each(wrong, words):
    assert words in sentence(lambda: sequence(*wrong, of="scan.nii"))


def test_times_are_typed_with_commas_or_by_a_presets_name():
    assert times(parse("5000,100")) == (5000, 100, 0)
    assert times(parse(" 9000, 120 , 2350 ")) == (9000, 120, 2350)
    for name in ("T1FLAIR", "t1-flair", "T1 FLAIR"):
        assert parse(name) == PRESETS["T1FLAIR"]
    assert parse("crl3") == PRESETS["CRL3"]
    for wrong in ("", "T9", "5000", "1,2,3,4", "5000;100"):
        assert "neither TR,TE,TI" in sentence(lambda wrong=wrong: parse(wrong))
    assert "no number" in sentence(lambda: parse("5000,x"))


@pytest.mark.parametrize(
    "text, file, played",
    [
        ("t2.nii.gz", "t2.nii.gz", None),
        ("t2.nii.gz:5000,100", "t2.nii.gz", (5000, 100, 0)),
        ("/data/a b/t2.nii.gz:5000,100,0", "/data/a b/t2.nii.gz", (5000, 100, 0)),
        ("t2.nii.gz:T2", "t2.nii.gz", (5000, 100, 0)),
        (r"C:\scans\t2.nii", r"C:\scans\t2.nii", None),
        (r"C:\scans\t2.nii:600,10", r"C:\scans\t2.nii", (600, 10, 0)),
        ("C:/scans/t2.nii", "C:/scans/t2.nii", None),
    ],
)
def test_inputs_are_files_with_or_without_times(text, file, played):
    path, found = parse_input(text)
    assert str(path) == file and (None if found is None else times(found)) == played


def test_a_file_with_a_colon_in_its_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan:2").touch()
    assert parse_input("scan:2") == (tmp_path.__class__("scan:2"), None)
    assert "must be FILE" in sentence(lambda: parse_input(":5000,100"))
    assert "t2.nii is 0 ms" in sentence(lambda: parse_input("t2.nii:0,100"))
    assert "neither" in sentence(lambda: parse_input("t2.nii:"))


def test_sidecars_are_in_seconds_and_what_they_lack_is_said(tmp_path):
    image = tmp_path / "sub-01_T2w.nii.gz"
    (tmp_path / "sub-01_T2w.json").write_text(json.dumps({"RepetitionTime": 5.0, "EchoTime": 0.1}))
    assert times(from_meta(read_sidecar(image), image.name)) == (5000, 100, 0)
    (tmp_path / "sub-01_T2w.json").write_text(json.dumps({"RepetitionTime": 5.0}))
    said = sentence(lambda: from_meta(read_sidecar(image), image.name))
    assert said.startswith("TE of sub-01_T2w.nii.gz is not known")
    assert "TR and TE of x are not known" in sentence(lambda: from_meta({}, "x"))


def test_sidecars_in_milliseconds_are_noticed(tmp_path):
    """Some converters write milliseconds into BIDS keys: 5000 s is no repetition time."""
    image = tmp_path / "scan.nii.gz"
    (tmp_path / "scan.json").write_text(json.dumps({"RepetitionTime": 5000, "EchoTime": 100}))
    said = sentence(lambda: from_meta(read_sidecar(image), image.name))
    assert "5e+06 ms" in said and "seconds" in said


@pytest.mark.parametrize("tissue", NULLABLE)
def test_the_nulling_time_makes_that_tissue_dark(tissue):
    """Against the signal equation, for which Eq. 6 is the root."""
    played = with_null(sequence(9000, 20), tissue)
    T1 = NULLABLE[tissue]
    dark, bright = (
        float(signal(each, np.array(T1), np.array(np.inf), np.array(1.0)))
        for each in (played, sequence(9000, 20))
    )
    assert dark < 1e-3 * bright
    assert parse(f"9000,20,null:{tissue}") == played
    assert times(with_null(sequence(9000, 20), str(T1))) == times(played)


def test_only_tissues_with_a_t1_can_be_nulled():
    for wrong in ("bone", "-5", "nan", ""):
        assert "no tissue that can be nulled" in sentence(lambda wrong=wrong: parse(f"9000,100,null:{wrong}"))


def test_what_lies_outside_the_box_is_a_warning_and_no_error():
    assert outside(sequence(5000, 100), BOX) == []
    said = outside(sequence(15000, 300, 5000), BOX, "T2.nii")
    assert [re.match(r"T\w", each)[0] for each in said] == ["TR", "TE", "TI"]
    assert said[1].startswith("TE 300 ms of T2.nii lies outside what the model was trained on (5 to 200 ms)")


def test_people_read_names_and_times():
    assert title_of(PRESETS["T1FLAIR"]) == "T1-FLAIR" and title_of(PRESETS["CRL4"]) == "CRL 4"
    assert title_of(sequence(5000, 90)) == text_of(sequence(5000, 90)) == "TR 5000, TE 90 ms"
    assert text_of(sequence(9000, 120, 2350.5)) == "TR 9000, TE 120, TI 2350.5 ms"
