"""How long and how many: the numbers of the message format, each with its source.

Sizes are in octets unless a name says characters. ACS publishes no limits for headers, subjects and names; where the
standards have none either, the number is ours and its comment says what it was chosen by.
"""

from __future__ import annotations

# The line and its ending (RFC 5322 section 2.1.1): 998 is a must, 78 a should; neither counts the CRLF.
MAX_LINE = 998
PREFERRED_LINE = 78
ENCODED_WORD_LINE = 76  # RFC 2047 section 2: a line with an encoded word
MAX_ENCODED_WORD = 75  # RFC 2047 section 2
MAX_BODY_LINE = 76  # RFC 2045 sections 6.7 and 6.8: quoted-printable and base64

# Addresses (RFC 5321 section 4.5.3.1).
MAX_LOCAL_PART = 64
MAX_LABEL = 63  # RFC 1035 section 2.3.4
MAX_DOMAIN = 253  # 255 on the wire (RFC 5321 section 4.5.3.1.2): length octets and the root label take two
MAX_ADDRESS = 254  # a path is 256 with its angle brackets (RFC 5321 section 4.5.3.1.3, RFC 3696 erratum 1690)
MAX_DISPLAY_NAME_CHARACTERS = 256  # Exchange's limit for a display name

# Header fields.
MAX_SUBJECT_CHARACTERS = 998  # one full line; mailbox providers cut what they show far earlier
MAX_HEADER_NAME = 76  # a name longer than a folded line is of no use to anybody
MAX_HEADER_VALUE = 16 * 1024  # as sent, after folding; holds a long References or List-Unsubscribe with room to spare
MAX_CUSTOM_HEADERS = 100
MAX_CUSTOM_HEADERS_BYTES = 64 * 1024  # names and values of all together; Postfix cuts a header at 100 KB
MAX_MESSAGE_ID = 250  # one line with its field name in every mail store

# Attachments.
MAX_ATTACHMENT_NAME = 255  # UTF-8 octets; the longest file name of ext4, NTFS and APFS
MAX_CONTENT_ID = 200
MAX_CONTENT_TYPE = 255  # RFC 6838 section 4.2: 127 each for type and subtype

# The text part that is derived from HTML, in characters: work is bounded by what is read, as this package has no clock.
# A megabyte of the worst kind takes half a second; Gmail shows a tenth of it.
MAX_HTML_LAID_OUT = 128 * 1024
MAX_HTML_READ = 1024 * 1024
