"""Writes tags into XMP sidecars, and leaves everything else in them as it is.

What this program wrote is listed in a property of its own, so that it is told from what people wrote: it can be taken
back, and is never read as their keyword.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError, SubElement

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, iterparse

from engine.photo.file import UnreadablePhoto, open_file
from engine.photo.xmp import DC, OURS, RDF, without_padding

_META = "{adobe:ns:meta/}"
_BEGIN = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_END = b'\n<?xpacket end="w"?>\n'
_PREFIXES = {"x": "adobe:ns:meta/", "rdf": RDF[1:-1], "dc": DC[1:-1], "unseen": OURS[1:-1]}


def sidecar_path(photo: str) -> str:
    """Where the sidecar of a photo is: IMG_1.JPG.xmp."""
    return f"{photo}.xmp"


def with_tags(packet: bytes | None, tags: Sequence[str]) -> bytes:
    """A sidecar with `tags` among its keywords in place of those that were written here before; raises ValueError."""
    for prefix, uri in _PREFIXES.items():  # or the first packet of a process would name them ns0, ns1
        ElementTree.register_namespace(prefix, uri)
    before = after = ""
    try:
        if packet and packet.strip():
            root, before, after = _parsed(packet)
        else:
            root = Element(f"{_META}xmpmeta")
    except (ParseError, DefusedXmlException, LookupError, UnicodeError) as error:
        raise ValueError(f"not XMP: {error}") from None
    rdf = root if root.tag == f"{RDF}RDF" else root.find(f"{RDF}RDF")
    if rdf is None:
        rdf = SubElement(root, f"{RDF}RDF")
    descriptions = rdf.findall(f"{RDF}Description")
    ours = {item.text for one in descriptions for item in one.iterfind(f"{OURS}tags/*/{RDF}li")}
    theirs = _keywords(descriptions, without=ours)
    for one in descriptions:
        for name in (f"{DC}subject", f"{OURS}tags"):
            for element in one.findall(name):
                one.remove(element)
    known = {keyword.casefold() for keyword in theirs}
    added = [tag for tag in tags if tag.casefold() not in known]
    home = descriptions[0] if descriptions else SubElement(rdf, f"{RDF}Description", {f"{RDF}about": ""})
    for name, words in ((f"{DC}subject", [*theirs, *added]), (f"{OURS}tags", added)):
        if words:
            bag = SubElement(SubElement(home, name), f"{RDF}Bag")
            for word in words:
                SubElement(bag, f"{RDF}li").text = word
    try:
        body: bytes = ElementTree.tostring(root, "utf-8")
    except RecursionError:
        raise ValueError("not XMP: elements within elements too deep") from None
    return _BEGIN + before.encode() + body + after.encode() + _END


def write_tags(photo: str, tags: Sequence[str]) -> bool:
    """Bring the sidecar of a photo up to date, whole or not at all; returns whether anything had to be written.

    Raises UnreadablePhoto where there is one that is not XMP, OSError where it cannot be written or is no plain file.
    """
    path = sidecar_path(photo)
    if os.path.islink(path):  # noqa: PTH114
        path = os.path.realpath(path, strict=True)  # what it leads to is written, and the link stays
    try:
        with open_file(path) as file:
            before: bytes | None = file.read()
    except FileNotFoundError:
        before = None
    if not tags and (before is None or OURS[1:-1].encode() not in before):
        return False  # nothing to add, and nothing to take back
    try:
        after = with_tags(before, tags)
    except ValueError as error:
        raise UnreadablePhoto(path, str(error)) from None
    if after == before:
        return False
    handle, partial = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".", suffix=".partial")  # noqa: PTH120
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(after)
        Path(partial).chmod(Path(path).stat().st_mode & 0o777 if before is not None else 0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return True


def _parsed(packet: bytes) -> tuple[Element, str, str]:
    """The tree of a packet with its remarks, and those before and after it; its prefixes are kept for writing."""
    data = without_padding(packet)
    before, after, depth, began = "", "", 0, False
    for event, found in iterparse(BytesIO(data), events=("start-ns", "start", "end", "comment", "pi")):
        if event == "start-ns":
            prefix, uri = found
            if uri not in _PREFIXES.values() and not prefix.startswith("ns"):  # which ElementTree keeps for itself
                ElementTree.register_namespace(prefix, uri)
        elif event in ("start", "end"):
            depth, began = depth + (1 if event == "start" else -1), True
        elif depth == 0 and not found.text.startswith("xpacket"):
            remark = f"<!--{found.text}-->" if event == "comment" else f"<?{found.text}?>"
            before, after = (before, f"{after}\n{remark}") if began else (f"{before}{remark}\n", after)
    builder = ElementTree.TreeBuilder(insert_comments=True, insert_pis=True)
    parser = DefusedXMLParser(target=builder)
    parser.feed(data)
    return parser.close(), before, after


def _keywords(descriptions: Iterable[Element], without: set[str | None]) -> list[str]:
    words = (
        item.text for one in descriptions for item in one.iterfind(f"{DC}subject/*/{RDF}li") if item.text not in without
    )
    return list(dict.fromkeys(word for word in words if word))
