"""The mark of a picture: an XMP packet that says from which digital source it comes.

The property is IPTC's `Iptc4xmpExt:DigitalSourceType` (Photo Metadata Standard 2025.1, IPTC
Extension), its values those of the vocabulary http://cv.iptc.org/newscodes/digitalsourcetype/; the
packet is that of ISO 16684-1 (XMP, part 1). It names no version and no time: equal pictures of
equal samples stay equal bytes.
"""

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from PIL.PngImagePlugin import PngInfo

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"

SYNTHETIC = (
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "algorithmicMedia",
    "compositeSynthetic",
    "virtualRecording",
)
"""Terms of the vocabulary that say that a picture, or a part of it, was made by a program."""

TOOL = "synthgen"
"""Value of `xmp:CreatorTool`."""

_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_DC = "http://purl.org/dc/elements/1.1/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

_HOLDING = {"PNG", "JPEG", "WEBP", "AVIF"}
"""Formats into which Pillow writes a packet."""

_PNG_KEYWORD = "XML:com.adobe.xmp"

_LONGEST_PACKET = 1 << 20
"""Bytes of a packet that is parsed: no picture of ours or of the tools that mark has as many."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A picture's word on its origin.

    Attributes:
        source: last part of the term of IPTC's vocabulary; the whole value where it is of none.
        sample_id: the sample that it shows; None for a picture of no run.
        tool: the program that marked it; None where none is named.
    """

    source: str
    sample_id: str | None = None
    tool: str | None = TOOL

    @property
    def synthetic(self) -> bool:
        """True where the term says that a program made the picture, or a part of it."""
        return self.source in SYNTHETIC


def packet(mark: Mark) -> bytes:
    """Return the XMP packet of a mark, in UTF-8."""
    values = {
        "Iptc4xmpExt:DigitalSourceType": VOCABULARY + mark.source,
        **({"dc:identifier": mark.sample_id} if mark.sample_id is not None else {}),
        **({"xmp:CreatorTool": mark.tool} if mark.tool is not None else {}),
    }
    said = "".join(f" {name}={quoteattr(value)}" for name, value in values.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
        f'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{_IPTC}" xmlns:dc="{_DC}" '
        f'xmlns:xmp="{_XMP}"{said}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def can_hold(picture_format: str) -> bool:
    """Return whether pictures of a format, as Pillow names it, can be marked."""
    return picture_format.upper() in _HOLDING


def save_options(mark: Mark | None, picture_format: str) -> dict[str, Any]:
    """Return the options with which Pillow writes a mark into a picture.

    Args:
        mark: the mark; None: no option.
        picture_format: as Pillow names it; one that `can_hold` a mark.
    """
    if mark is None:
        return {}
    data = packet(mark)
    if picture_format.upper() != "PNG":
        return {"xmp": data}
    info = PngInfo()
    info.add_itxt(_PNG_KEYWORD, data.decode())
    return {"pnginfo": info}


def parse_packet(data: bytes) -> Mark | None:
    """Read an XMP packet, whoever wrote it; None where it says no digital source or is none.

    Properties may be attributes or elements, as RDF allows.
    """
    if len(data) > _LONGEST_PACKET:
        return None
    try:
        text = data.strip(b"\0").decode()
        # Entities could grow without bound; XMP has no use for the declarations that make them.
        if "<!DOCTYPE" in text:
            return None
        tree = ElementTree.fromstring(text)  # noqa: S314 - no entities, bounded
    except (ElementTree.ParseError, ValueError):
        return None
    source = _value(tree, f"{{{_IPTC}}}DigitalSourceType")
    if source is None:
        return None
    return Mark(
        source=source.strip().removeprefix(VOCABULARY),
        sample_id=_value(tree, f"{{{_DC}}}identifier"),
        tool=_value(tree, f"{{{_XMP}}}CreatorTool"),
    )


def _value(tree: ElementTree.Element, name: str) -> str | None:
    for element in tree.iter():
        if name in element.attrib:
            return element.attrib[name]
        if element.tag == name:
            text = "".join(element.itertext()).strip()
            return element.attrib.get(f"{{{_RDF}}}resource", text)
    return None
