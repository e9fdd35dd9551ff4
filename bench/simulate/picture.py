"""A picture of who held which device when, as SVG. Pure."""
from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.simulate.site import Span
from common.messages import Stage

_WIDTH, _LEFT, _TOP = 1200, 60, 40
_ROW, _ROWS = 10, 64
_STRIP, _BINS = 120, 240
_COLOURS = {Stage.VALIDATE: "#4477aa", Stage.PROFILE: "#ee6677"}
_LOST = "#bbbbbb"
_MOST = 20_000
"""Rectangles drawn: more are not to be told apart."""


def timeline(spans: Sequence[Span], devices: Sequence[str]) -> str:
    """Above, the devices at work at a time, by stage; below, the first of the devices with each job they held. Grey is
    what led to no result."""
    end = max((span.end for span in spans), default=1.0)
    shown = list(devices[:_ROWS])
    height = _TOP + _STRIP + 50 + _ROW * len(shown) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 20}" height="{height}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="100%" height="100%" fill="white"/><text x="{_LEFT}" y="14">devices at work, of {len(devices)}: '
        f'{_key("validating", _COLOURS[Stage.VALIDATE])} {_key("profiling", _COLOURS[Stage.PROFILE])} '
        f'{_key("no result", _LOST)}</text>',
        *_strip(spans, len(devices), end),
        *_rows(spans, shown, end, _TOP + _STRIP + 40),
        *(f'<text x="{_x(end * i / 8, end):.0f}" y="{height - 8}" text-anchor="middle">{end * i / 8:,.0f} s</text>'
          for i in range(9)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _key(name: str, colour: str) -> str:
    return f'<tspan fill="{colour}">&#9632;</tspan> {escape(name)}'


def _x(seconds: float, end: float) -> float:
    return _LEFT + _WIDTH * seconds / end


def _strip(spans: Sequence[Span], devices: int, end: float) -> list[str]:
    """Stacked bars: the mean number of devices at work in each bin."""
    width = end / _BINS
    kinds = (*_COLOURS.values(), _LOST)
    held = {colour: [0.0] * _BINS for colour in kinds}
    for span in spans:
        for n in range(int(span.start / width), min(_BINS - 1, int(span.end / width)) + 1):
            held[_colour(span)][n] += max(0.0, min(span.end, (n + 1) * width) - max(span.start, n * width))
    parts = []
    for n in range(_BINS):
        bottom = float(_TOP + _STRIP)
        for colour in kinds:
            tall = _STRIP * held[colour][n] / (width * devices)
            bottom -= tall
            if tall > 0.05:
                parts.append(f'<rect x="{_x(n * width, end):.1f}" y="{bottom:.1f}" width="{_WIDTH / _BINS:.2f}" '
                             f'height="{tall:.1f}" fill="{colour}"/>')
    return parts


def _rows(spans: Sequence[Span], shown: Sequence[str], end: float, top: int) -> list[str]:
    row = {name: n for n, name in enumerate(shown)}
    parts = [f'<text x="{_LEFT - 4}" y="{top + _ROW * n + 8}" text-anchor="end">{escape(name)}</text>'
             for name, n in row.items()]
    for span in [span for span in spans if span.device in row][:_MOST]:
        wide = max(0.2, _WIDTH * (span.end - span.start) / end)
        parts.append(f'<rect x="{_x(span.start, end):.1f}" y="{top + _ROW * row[span.device] + 1}" width="{wide:.1f}" '
                     f'height="{_ROW - 2}" fill="{_colour(span)}"/>')
    return parts


def _colour(span: Span) -> str:
    return _COLOURS[span.identity.stage] if span.how == "done" else _LOST
