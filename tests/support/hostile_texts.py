"""Texts that somebody could have put into a legacy database to act where they are shown."""

from __future__ import annotations

from typing import Final

HOSTILE_TEXTS: Final = (
    "P-3[/nothing]",  # Rich's markup, closing what was never opened
    "[bold red]P-3[/]",
    "[link=https://evil.example]P-3[/link]",
    "\x1b[31mP-3",
    "\x1b]0;title\x07P-3",  # sets a terminal's title
    "\x1b[2J\x1b[H",
    "\x9b31mP-3",  # CSI in one character
    "\x90q\x9c",
    "P-3\rP-4",  # overwrites the line
    "P-3\nP-4 forged line",
    "P-3\x08\x08\x08P-4",
    "\x00\x07\x7f",
    "P-\u202e3-4",  # turns the direction of writing
    "\u2066P-3\u2069",
    "P-3\u2028P-4",
    "=1+1",
    '=HYPERLINK("https://evil.example","P-3")',
    "+49 170 1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "'; DROP TABLE journeys; --",
    "${HOME}",
    "{{7*7}}",
    "%s%s%n",
    "P-\ud7ff\U0001f697",
)
