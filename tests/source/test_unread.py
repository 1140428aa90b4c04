"""What is recognised and not read is refused by its name, with what to do."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from biokeel.errors import AdapterError
from biokeel.source.adapters.detect import detect


def archive(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return packed.getvalue()


LOOKS = {
    "an HL7 v2 message": [b"MSH|^~\\&|LAB|H\rPID|1", b"\x0bMSH|^~\\&|LAB", b"MSH$^~\\&$LAB", b"BHS|^~\\&|A"],
    "a CDA document": [
        b'<?xml version="1.0"?><!-- a --><ClinicalDocument xmlns="urn:hl7-org:v3"/>',
        b'<c:ClinicalDocument xmlns:c="urn:hl7-org:v3"/>',
        '\ufeff<?xml version="1.0" encoding="utf-16"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3"/>'.encode("utf-16-le"),
    ],
    "FHIR XML": [b'<Bundle xmlns="http://hl7.org/fhir"/>', b"<f:Patient xmlns:f='http://hl7.org/fhir'/>"],
    "a CCR document": [b'<ContinuityOfCareRecord xmlns="urn:astm-org:CCR"/>'],
    "an EDI interchange": [b"ISA*00*          *00*", b"UNB+UNOC:3+A+B"],
    "a CDISC ODM document": [b'<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3"/>'],
    "a GPX or TCX track": [b"<gpx version='1.1'/>", b"<TrainingCenterDatabase/>"],
    "an HTML page": [b"<!DOCTYPE html>\n<html><body>log in</body></html>"],
    "an XML document of no format that we know": [b"<a><b/></a>"],
    "a VCF file": [b"##fileformat=VCFv4.2\n"],
    "a SAM file": [b"@HD\tVN:1.6\n"],
    "a FASTQ file": [b"@r1\nACGTN\n+\nIIIII\n"],
    "a BAM file": [b"BAM\x01\x00\x00"],
    "a CRAM file": [b"CRAM\x03\x00"],
    "a PDF document": [b"%PDF-1.7\n"],
    "a DICOM image": [bytes(128) + b"DICM"],
    "an Excel workbook": [archive("[Content_Types].xml", "xl/workbook.xml")],
    "a Word document": [archive("[Content_Types].xml", "word/document.xml")],
    "a zip archive": [archive("a.json")],
    "a Parquet file": [b"PAR1\x15\x04"],
    "Garmin's CSV": [b"Activity Type,Date,Favorite,Title\n"],
    "Strava's CSV": [b"Activity ID,Activity Date,Activity Name,Activity Type\n"],
    "Oura's JSON": [b'[{"id": "s", "bedtime_start": "x"}]', b'{"data": [{"id": "s", "bedtime_start": "x"}]}'],
    "an openEHR composition": [b'{"_type": "COMPOSITION", "archetype_node_id": "x"}'],
    "a GA4GH phenopacket": [b'{"id": "p", "phenotypicFeatures": [], "metaData": {}}'],
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("looks", "content"), [(looks, content) for looks, some in LOOKS.items() for content in some])
def test_it_is_refused_by_its_name_with_what_to_do(tmp_path: Path, looks: str, content: bytes, packed: bool) -> None:
    path = tmp_path / "f.dat"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(AdapterError) as raised:
        detect(path)
    assert raised.value.what.startswith(f"f.dat looks like {looks}")
    assert raised.value.what.endswith(": not read.")
    assert raised.value.todo


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("r_fhir.xml", "FHIR XML"),
        ("r_hl7v2.hl7", "an HL7 v2 message"),
        ("cda.xml", "a CDA document"),
        ("garmin_activities.csv", "Garmin's CSV of activities"),
        ("oura_sleep_list.json", "Oura's JSON of sleep"),
    ],
)
def test_the_cases_are_refused_by_their_names(shared_cases: Path, name: str, looks: str) -> None:
    with pytest.raises(AdapterError, match=f"looks like {looks}: not read"):
        detect(shared_cases / "files" / name)
