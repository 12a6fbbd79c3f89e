"""Dates, cameras, lenses, places, ratings and keywords, from files made on the spot."""

from datetime import UTC, datetime
from io import BytesIO

import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.library.records import FileStamp, Metadata
from engine.photo import open_picture
from engine.photo.metadata import dated_by_file
from engine.photo.xmp import metadata_from_xmp

pillow_heif.register_heif_opener()

EXIF, GPS = 0x8769, 0x8825
PACKET = """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
  xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
  xmp:Rating="4" exif:GPSLatitude="33,55.5S" exif:GPSLongitude="18,25,12E" tiff:Make="NIKON" aux:Lens="50mm f/1.8">
  <exif:DateTimeOriginal>2019-03-02T10:00:00+05:30</exif:DateTimeOriginal><tiff:Model>NIKON D90</tiff:Model>
  <dc:subject><rdf:Bag><rdf:li>Zoë</rdf:li><rdf:li> table  mountain </rdf:li><rdf:li>ZOË</rdf:li></rdf:Bag></dc:subject>
  <lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Africa</rdf:li></rdf:Bag></lr:hierarchicalSubject>
 </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>""".encode()


def exif(inner=None, place=None, **values):
    written = Image.Exif()
    for tag, value in values.items():
        written[int(tag[1:])] = value
    for part, more in ((EXIF, inner), (GPS, place)):
        for tag, value in (more or {}).items():
            written.get_ifd(part)[tag] = value
    return written


def said(format_="JPEG", sidecar=None, app13=None, **options):
    buffer = BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, format_, **options)
    data = buffer.getvalue()
    if app13 is not None:
        data = data[:2] + b"\xff\xed" + (len(app13) + 2).to_bytes(2, "big") + app13 + data[2:]
    return open_picture(data, "/photos/x", 16, sidecar=sidecar).metadata


def iptc(*keywords, utf8=False):
    """The block of IPTC that Photoshop writes into a JPEG."""
    records = b"\x1c\x01\x5a\0\x03\x1b%G" if utf8 else b""
    records += b"".join(b"\x1c\x02\x19" + len(word).to_bytes(2, "big") + word for word in keywords)
    return b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(records).to_bytes(4, "big") + records + b"\0" * (len(records) % 2)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_every_format_tells_what_camera_and_programs_wrote(format_):
    options = {"xmp": PACKET} if format_ != "PNG" else {}
    if format_ == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", PACKET.decode())
    inner = {36867: "2020:05:04 13:14:15", 36881: "-03:30", 42036: "EF 85mm"}
    written = exif(inner, _271="Canon", _272="Canon EOS R5")
    if format_ == "TIFF":
        written[EXIF], written[700] = inner, PACKET
    metadata = said(format_, exif=written, **options)
    assert metadata == Metadata(
        datetime(2020, 5, 4, 16, 44, 15, tzinfo=UTC),
        -210,
        "exif",
        "Canon EOS R5",
        "EF 85mm",
        -33.925,
        18.42,
        4,
        ("Zoë", "table mountain"),
    )


def test_a_packet_alone_tells_everything():
    metadata = said(xmp=PACKET)
    assert (metadata.taken_at, metadata.taken_offset) == (datetime(2019, 3, 2, 4, 30, tzinfo=UTC), 330)
    assert (metadata.taken_from, metadata.camera, metadata.lens) == ("xmp", "NIKON D90", "50mm f/1.8")


def test_a_sidecar_is_believed_before_the_file():
    metadata = said(exif=exif({36867: "2020:05:04 13:14:15"}, _18246=1), sidecar=PACKET)
    assert (metadata.taken_from, metadata.rating, metadata.camera) == ("xmp", 4, "NIKON D90")


def test_what_a_program_rated_is_believed_before_the_zero_of_the_camera():
    assert said(exif=exif(_18246=0), xmp=PACKET).rating == 4
    assert said(exif=exif(_18246=3)).rating == 3
    assert said(exif=exif(_18246=77)).rating is None


def test_a_place_is_degrees_north_and_east():
    place = {1: "S", 2: (33.0, 55.0, 30.0), 3: "W", 4: (18.0, 25.0, 12.0)}
    metadata = said(exif=exif(place=place))
    assert (metadata.latitude, metadata.longitude) == (-33.925, -18.42)


@pytest.mark.parametrize(
    "place",
    [
        {1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)},
        {1: "N", 2: (1.0, 0.0, 0.0)},
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
    ],
    ids=["beyond the pole", "half a place", "where no satellite was found"],
)
def test_what_is_no_place_is_none(place):
    metadata = said(exif=exif(place=place))
    assert (metadata.latitude, metadata.longitude) == (None, None)


def test_the_time_of_the_satellites_tells_how_far_the_clock_was_ahead():
    place = {29: "2020:05:04", 7: (11.0, 14.0, 10.0)}
    metadata = said(exif=exif({36867: "2020:05:04 13:14:15"}, place))
    assert (metadata.taken_at, metadata.taken_offset) == (datetime(2020, 5, 4, 11, 14, 15, tzinfo=UTC), 120)
    unset_clock = said(exif=exif({36867: "2020:05:04 13:21:15"}, place))
    assert unset_clock.taken_offset is None


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (iptc(b"sea", b"Caf\xc3\xa9", utf8=True), ("sea", "Café")),
        (iptc(b"sea"), ("sea",)),
        (iptc("Café".encode("cp1252"), b"Sea"), ("Café", "Sea")),
        (iptc(b"", b"  "), ()),
    ],
)
def test_keywords_of_press_agencies_are_read(block, expected):
    assert said(app13=block).keywords == expected


def test_keywords_of_all_places_are_joined_and_each_is_there_once():
    windows = exif(_40094="Sea;zoë;Dog".encode("utf-16-le"))
    assert said(app13=iptc(b"sea", b"cat"), exif=windows, xmp=PACKET).keywords == (
        *("Zoë", "table mountain", "sea", "cat"),
        "Dog",
    )


def test_the_last_part_of_a_path_of_keywords_is_the_keyword():
    packet = PACKET.replace(b"dc:subject", b"dc:title")
    assert metadata_from_xmp(packet).keywords == ("Africa",)


def test_a_packet_that_unfolds_without_end_is_left_alone():
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
    assert metadata_from_xmp(laughs) == Metadata()


@given(st.binary() | st.binary().map(lambda junk: PACKET[:700] + junk + PACKET[700:]))
def test_no_packet_is_an_error(packet):
    assert isinstance(metadata_from_xmp(packet), Metadata)


def test_a_photo_without_a_date_has_that_of_its_file_and_says_so():
    stamp = FileStamp(1, 1_500_000_000_000_000_000)
    dated = dated_by_file(Metadata(rating=3), stamp)
    assert (dated.taken_at, dated.taken_from, dated.rating) == (datetime(2017, 7, 14, 2, 40, tzinfo=UTC), "file", 3)
    known = Metadata(datetime(2020, 1, 1, tzinfo=UTC), taken_from="exif")
    assert dated_by_file(known, stamp) == known
    assert dated_by_file(Metadata(), FileStamp(1, 1 << 70)).taken_at is None
