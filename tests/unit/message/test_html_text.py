import time

import pytest

from email_core.message.html_text import text_from_html
from email_core.message.limits import MAX_HTML_LAID_OUT, MAX_HTML_READ

MAIL = """<!DOCTYPE html><html><head><title>Shop</title><style>p > a { color: red }</style></head>
<body><!-- <p>not shown</p> --><h1>Order <em>shipped</em></h1>
<table><tr><th>Item</th><th>Price</th></tr><tr><td>Book</td><td>3&nbsp;&euro; &lt;net&gt;</td></tr></table>
<p>Hi J&ouml;rg,<br>see <a style="x>y" HREF='https://example.com/a?b=c&amp;d=(e)'>your <b>order</b></a>
<img src="cid:x" alt="Logo"></p>
<ol><li>one<li>two</ol><blockquote>quoted</blockquote><script>alert("<p>no</p>")</script>
<a href="https://example.com/">https://example.com/</a> <a href="mailto:a@example.com">a@example.com</a>
<a href="javascript:x">nothing</a></body></html>"""

TEXT = """# Order shipped

Item Price
Book 3 € <net>

Hi Jörg,
see your order <https://example.com/a?b=c&d=(e)> Logo

  1. one
  2. two

> quoted

https://example.com/ a@example.com nothing
"""


def test_text_of_a_mail_keeps_its_layout_and_link_targets() -> None:
    assert text_from_html(MAIL) == TEXT


def test_text_of_large_html_is_freed_of_tags() -> None:
    text = text_from_html(MAIL.replace("Hi J", "x" * MAX_HTML_LAID_OUT + " Hi J"))

    assert "Order shipped" in text and "x Hi Jörg,\nsee your order <https://example.com/a?b=c&d=(e)> Logo" in text
    assert "not shown" not in text and "alert" not in text and "color" not in text and "<p" not in text


def test_text_of_huge_html_ends_with_a_mark() -> None:
    assert text_from_html("<p>a</p>" * (MAX_HTML_READ // 8 + 1)).endswith("a\n\n[...]\n")


@pytest.mark.parametrize(
    "source", ["", "   ", "<p></p>", "<!-- x", "<style>x", "<img src=x>", "<![CDATA[ x ]]>", "<?x", "</ x"]
)
def test_text_of_html_without_any_is_empty(source: str) -> None:
    assert text_from_html(source) == ""


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2\n"),
        ("a <b", "a <b\n"),
        ("&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";\n"),
        ("&#xD800;&#0;x", "\ufffd\ufffdx\n"),
        ("<a href=https://x.example>y", "y\n"),
        ("</blockquote></ul></pre>x", "x\n"),
        ("<p title='>'>x</p><p title=\">\">y</p>", "x\n\ny\n"),
        ("<pre>a\n\n\n\n  b</pre>", "    a\n\n      b\n"),
        ("<title>t</TITLE >x", "x\n"),
    ],
    ids=lambda value: value[:20],
)
def test_text_of_untidy_html(source: str, text: str) -> None:
    assert text_from_html(source) == text


HOSTILE = [
    *(
        "<",
        "a<",
        "<!--",
        "<![",
        "<!",
        "</",
        "<?",
        "<a ",
        "<a x='",
        '<a x="',
        "<a href=",
        "<a href='x",
        "&",
        "&#",
        "&#1",
        "\n",
        " \n",
        " ",
    ),
    *(
        "<div>",
        "<ol><li>x",
        "<ul>",
        "<blockquote>x",
        "<pre>\n",
        "<dl><dd>x",
        "<table><tr><td>",
        "</a>",
        "<a href=http://x>y",
        "<li>",
    ),
    *(
        "<style>",
        "<script></scrip",
        "1. ",
        "* ",
        "_",
        "[",
        "\\",
        "<br>",
        "<h1>",
        "\x00",
        "&amp;",
        "<a" + "b" * 50,
        "<x y=z ",
        "<p>\xa0",
    ),
]


@pytest.mark.parametrize("unit", HOSTILE, ids=lambda unit: ascii(unit)[:16])
def test_hostile_html_takes_time_in_proportion_to_its_size(unit: str) -> None:
    source = unit * (MAX_HTML_LAID_OUT // len(unit))
    started = time.process_time()

    text = text_from_html(source)

    # Less than a third of a second where html2text alone takes minutes: room for any machine between the two.
    assert time.process_time() - started < 20
    assert len(text) <= 16 * len(source) + 10


@pytest.mark.parametrize("unit", ["<", "<!--", "<a x='", "<ol><li>x", "\n", "&#"], ids=ascii)
def test_hostile_html_that_is_only_freed_of_tags_takes_no_longer(unit: str) -> None:
    started = time.process_time()

    text_from_html(unit * (2 * MAX_HTML_READ // len(unit)))

    assert time.process_time() - started < 20
