"""Values that people, trackers and sites may send, and that must stay plain data."""

from __future__ import annotations

JINJA = (
    "{{ 7*7 }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ ti.xcom_pull() }}",
    "{{ var.value.secret }}",
    "{{ conn.site.password }}",
    "{% raw %}",
    "{{",
    "{#",
)
HTML = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[x](javascript:alert(1))",
    "![i](http://tracker/p.png)",
    '<a href="data:text/html,x">',
    '"><script>',
    "</title><script>",
    "<!--",
    "]]>",
    "<style>@import url(//x)</style>",
    "<b>unclosed",
)
ADDRESSES = (
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
TEXTS = ("a\0b", "\ud800", "\u202egnp.exe", "line\u2028line", "é", "e\u0301", "x" * 10_000, "%s%n", "\x1b[31mred")
