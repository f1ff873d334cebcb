"""Input that must be refused, escaped or kept as harmless text, by the kind of place it is entered."""

from __future__ import annotations

from tests.support.thoroughness import all_or_some

NAMES = all_or_some(
    (
        "1.0\n",
        "1.0;reboot",
        "$(id)",
        "`id`",
        "-rf",
        "--checkpoint-action=exec=sh",
        "../../etc/passwd",
        ".ssh",
        "a/b",
        "a b",
        "a\tb",
        "a\0b",
        "'; id; '",
        "\u202egnp.exe",
        "ａｄｍｉｎ",
        "é",
        "e\u0301",
        "",
        ".",
        "..",
        "A" * 10_000,
        "{{ 7*7 }}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "%s%n",
    )
)

HTML = all_or_some(
    (
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "[x](javascript:alert(1))",
        "![i](http://tracker/p.png)",
        '<a href="data:text/html,x">',
        '"><script>',
        "</title><script>",
        "</textarea><script>alert(1)</script>",
        "<!--",
        "]]>",
        "<style>@import url(//x)</style>",
        "<b>unclosed",
    )
)


ADDRESSES = all_or_some(
    (
        "x\r\nBcc: evil@x.org",
        "x\nBcc: evil@x.org",
        "=?utf-8?q?x=0ABcc:_e=40x?=",
        "a@b,c@d",
        '"a"@b\r\n',
        "<a@b>",
        "a@b -oQ/tmp",
        "x",
        "\u2028",
    )
)

JSON = all_or_some(
    (
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"a":1e999}',
        b'{"a":NaN}',
        b'{"vo":"atlas","vo":"cms","opinion":"works"}',
        b"\xef\xbb\xbf{}",
        b'{"vo":"atlas","opinion":"works","text":"\\ud800"}',
        b'{"vo":"atlas","opinion":"works","text":"a\\u0000b"}',
        b'{"vo":"atlas","opinion":"works","text":"\xff"}',
        b'{"vo":"atlas","opinion":"works","extra":1}',
        b'{"vo":"atlas","opinion":"great"}',
        b'{"vo":"atlas"}',
        b'{"vo":1,"opinion":"works"}',
        b'{"vo":"atlas","opinion":"works","author":"x\\r\\nBcc: evil@x.org"}',
        b'{"vo":"atlas","opinion":"works","text":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b"[" * 60_000,
    )
)

JINJA = all_or_some(
    (
        "{{ 7*7 }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ ti.xcom_pull() }}",
        "{{ var.value.secret }}",
        "{{ conn.site.password }}",
        "{% raw %}",
        "{{",
        "{#",
    )
)
TEMPLATES = JINJA

TEXTS = all_or_some(
    ("a\0b", "\ud800", "\u202egnp.exe", "line\u2028line", "é", "e\u0301", "x" * 10_000, "%s%n", "\x1b[31mred")
)
