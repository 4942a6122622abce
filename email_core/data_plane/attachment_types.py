"""The attachment types that ACS Email accepts: file name extension and MIME type, both from its published table.

Both must be on the list and belong together: a `.txt` that says it is a PDF is refused, because it is the mail client of
the recipient that would have to guess. Parameters such as `charset` are accepted and left out: what is put on the wire
is the type as the table writes it, never the text of the caller.
"""

from __future__ import annotations

import re

from email_core.message.limits import MAX_CONTENT_TYPE

# ACS: "Allowed attachment types for Azure Communication Services Email", 59 rows, in its order. Names that share a row
# share its types; one row has two types.
_TABLE = """
3gp        video/3gpp
3g2        video/3gpp2
7z         application/x-7z-compressed
aac        audio/aac
avi        video/x-msvideo
bmp        image/bmp
csv        text/csv
doc        application/msword
docm       application/vnd.ms-word.document.macroEnabled.12
docx       application/vnd.openxmlformats-officedocument.wordprocessingml.document
eot        application/vnd.ms-fontobject
epub       application/epub+zip
gif        image/gif
gz         application/gzip
ico        image/vnd.microsoft.icon
ics        text/calendar
jpg,jpeg   image/jpeg
json       application/json
mid,midi   audio/midi
mp3        audio/mpeg
mp4        video/mp4
mpeg       video/mpeg
oga        audio/ogg
ogv        video/ogg
ogx        application/ogg
one        application/onenote
opus       audio/opus
otf        font/otf
pdf        application/pdf
png        image/png
ppsm       application/vnd.ms-powerpoint.slideshow.macroEnabled.12
ppsx       application/vnd.openxmlformats-officedocument.presentationml.slideshow
ppt        application/vnd.ms-powerpoint
pptm       application/vnd.ms-powerpoint.presentation.macroEnabled.12
pptx       application/vnd.openxmlformats-officedocument.presentationml.presentation
pub        application/vnd.ms-publisher
rar        application/x-rar-compressed
rpmsg      application/vnd.ms-outlook
rtf        application/rtf
svg        image/svg+xml
tar        application/x-tar
tif,tiff   image/tiff
ttf        font/ttf
txt        text/plain
vsd        application/vnd.visio
wav        audio/wav
weba       audio/webm
webm       video/webm
webp       image/webp
wma        audio/x-ms-wma
wmv        video/x-ms-wmv
woff       font/woff
woff2      font/woff2
xls        application/vnd.ms-excel
xlsb       application/vnd.ms-excel.sheet.binary.macroEnabled.12
xlsm       application/vnd.ms-excel.sheet.macroEnabled.12
xlsx       application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
xml        application/xml,text/xml
zip        application/zip
"""


def _read(table: str) -> dict[str, tuple[str, ...]]:
    types = {}
    for row in table.strip().splitlines():
        extensions, mime_types = row.split()
        types.update(dict.fromkeys(extensions.split(","), tuple(mime_types.split(","))))
    return types


ALLOWED_TYPES = _read(_TABLE)  # extension in lower case -> its MIME types as they are written on the wire
_WIRE_TYPES = {mime_type.lower(): mime_type for mime_types in ALLOWED_TYPES.values() for mime_type in mime_types}

_NAME = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,127}"  # RFC 2045 section 5.1; the length is that of RFC 6838 section 4.2
_content_type = re.compile(rf"[ \t]*({_NAME}/{_NAME})[ \t]*(?:;.*)?")


class AttachmentTypeError(ValueError):
    """Not an allowed type for the file. `reason` is the rule and the remedy."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def allowed_types(name: str) -> tuple[str, ...]:
    """The types that a file of that name may have; none when its extension is not on the list."""
    stem, _, extension = name.rpartition(".")
    return ALLOWED_TYPES.get(extension.lower(), ()) if stem else ()


def wire_type(content_type: str, name: str) -> str:
    """The Content-Type to write for a claimed type, which must belong to the name. Raises AttachmentTypeError.

    Of a name that is not on the list only the type itself is judged.
    """
    allowed = allowed_types(name)
    remedy = f"give '{allowed[0]}'" if allowed else "give one of the list, without parameters"
    match = _content_type.fullmatch(content_type) if len(content_type) <= MAX_CONTENT_TYPE else None
    if not match:
        raise AttachmentTypeError(f"is not of the form type/subtype, or too long: {remedy}")
    mime_type = match[1].lower()
    if mime_type not in _WIRE_TYPES:
        raise AttachmentTypeError(f"is none of the allowed attachment types: {remedy}")
    wire = _WIRE_TYPES[mime_type]
    if allowed and wire not in allowed:
        raise AttachmentTypeError(f"belongs to another extension than that of the name: {remedy}")
    return wire
