"""Figures as one HTML page with its charts in it: it needs neither a server nor the network."""

from collections.abc import Callable
from decimal import Decimal
from html import escape
from typing import Any

import pygal
from pygal.style import Style

from .cards import CARDS, Card, Shape, card
from .figures import Figures, Rows

COLOURS = ("#1f6f8b", "#e07a5f", "#81b29a", "#f2cc8f", "#6d597a", "#3d405b", "#b56576")
STYLE = Style(
    background="transparent",
    plot_background="transparent",
    font_family="system-ui, sans-serif",
    colors=COLOURS,
    label_font_size=13,
    major_label_font_size=13,
    legend_font_size=13,
    value_font_size=12,
    title_font_size=15,
)
#: So many minutes a chart has, the newest ones.
MINUTES = 120
PAGE_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; color: #222; background: #f4f5f7; margin: 0 auto; max-width: 1240px; padding: 24px }
h1 { font-size: 24px; margin: 0 } h2 { font-size: 19px; margin: 28px 0 10px }
.quiet { color: #667; font-size: 13px }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin: 14px 0 }
.card { background: #fff; border-radius: 8px; padding: 12px 16px; box-shadow: 0 1px 2px #0002 }
.card b { display: block; font-size: 22px; font-variant-numeric: tabular-nums }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(540px, 1fr)); gap: 12px }
.charts .card h3 { font-size: 14px; margin: 0 0 4px } h3 .quiet { font-weight: normal } .charts svg { width: 100%; height: auto }
.bad b { color: #b3261e }
"""


def money(amount: Decimal) -> str:
    """An amount with all the digits that it has, and two after the point at least."""
    text = f"{amount:,.4f}"
    return text[:-2] if text.endswith("00") else text


def page(figures: Figures, lake: str) -> str:
    """The whole page."""
    ((newest,),) = figures.whole["as_of"].rows
    as_of = "none" if newest is None else f"{newest:%Y-%m-%d %H:%M:%S} UTC"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Riverbank: key figures</title>",
        f"<style>{PAGE_STYLE}</style></head><body>",
        "<h1>Key figures</h1>",
        f"<p class='quiet'>From the files of {escape(lake)}; newest change at the source: {as_of}.</p>",
        _numbers(card("totals"), figures.whole["totals"]),
    ]
    parts += [_currency(code, of) for code, of in figures.by_currency.items()]
    parts.append(f"<h2>{card('findings').title}</h2>")
    parts.append(_cards((check, f"{found:,}", "bad" if found else "") for check, found in figures.whole["findings"].rows))
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _cards(cards) -> str:
    one = "<div class='card {kind}'><b>{value}</b>{name}</div>"
    inside = (one.format(kind=kind, value=escape(value), name=escape(name)) for name, value, kind in cards)
    return f"<div class='cards'>{''.join(inside)}</div>"


def _numbers(of: Card, rows: Rows) -> str:
    texts = [
        (name, money(value) if of.money and name not in of.counts else f"{value:,}", "")
        for row in rows.rows
        for name, value in zip(rows.columns, row, strict=True)
    ]
    return _cards(texts)


def _currency(code: str, of: dict[str, Rows]) -> str:
    charts = "".join(
        f"<div class='card'><h3>{escape(declared.title)} <span class='quiet'>{escape(declared.about)}</span></h3>{_chart(declared, of[declared.key])}</div>"
        for declared in CARDS
        if declared.key in of and declared.shape is not Shape.NUMBERS
    )
    return f"<h2>{escape(code)}</h2>{_numbers(card('balances'), of['balances'])}<div class='charts'>{charts}</div>"


def _chart(of: Card, rows: Rows) -> str:
    match of.shape:
        case Shape.BARS:
            return _bars(rows.rows)
        case Shape.SHARES:
            return _pie(rows.rows)
        case Shape.STACKED_DAYS:
            return _by_day([(time.date(), kind, amount) for time, kind, amount in rows.rows])
        case Shape.DAYS:
            kinds = rows.columns[1:]
            return _by_day([
                (time.date(), kind, amount) for time, *amounts in rows.rows for kind, amount in zip(kinds, amounts, strict=True)
            ])
        case Shape.MINUTES:
            kinds = rows.columns[1:]
            # A page has room for an hour or two; the view has a day's minutes and more.
            newest = rows.rows[-MINUTES:]
            return _by_time(
                [(f"{time:%m-%d %H:%M}", kind, count) for time, *counts in newest for kind, count in zip(kinds, counts, strict=True)],
                lambda count: f"{count:,}",
            )
    raise ValueError(f"{of.key} is no chart")


def _draw(chart) -> str:
    return chart.render(is_unicode=True, disable_xml_declaration=True)


def _options(rows: int) -> dict:
    # No script: pygal's own would come from the network.
    return {
        "style": STYLE,
        "js": (),
        "width": 720,
        "height": max(220, 90 + 30 * rows),
        "margin": 8,
        "max_scale": 6,
        "truncate_label": -1,
        "truncate_legend": -1,
        "value_formatter": lambda value: f"{value:,.0f}",
        "no_data_text": "nothing yet",
    }


def _bars(rows: list[tuple[str, Decimal]]) -> str:
    chart = pygal.HorizontalBar(show_legend=False, print_values=True, **_options(len(rows)))
    # From the top down.
    rows = rows[::-1]
    chart.x_labels = [name for name, _ in rows]
    chart.add("", [{"value": float(amount), "formatter": lambda _, text=money(amount): text} for _, amount in rows])
    return _draw(chart)


def _pie(rows: list[tuple[str, int]]) -> str:
    chart = pygal.Pie(inner_radius=0.5, **_options(5))
    for name, number in rows:
        chart.add(f"{name}: {number:,}", number)
    return _draw(chart)


def _by_day(rows: list) -> str:
    return _by_time([(day.isoformat(), kind, amount) for day, kind, amount in rows], money)


def _by_time(rows: list, text: Callable[[Any], str]) -> str:
    times = list(dict.fromkeys(time for time, _, _ in rows))
    kinds = sorted({kind for _, kind, _ in rows})
    # A line of one point shows nothing.
    kind_of_chart = pygal.Bar if len(times) < 3 else pygal.Line
    chart = kind_of_chart(x_label_rotation=30, legend_at_bottom=True, **_options(7))
    chart.x_labels = times
    for kind in kinds:
        amounts = {time: amount for time, of, amount in rows if of == kind}
        values = [amounts.get(time) for time in times]
        points = [
            None if amount is None else {"value": float(amount), "formatter": lambda _, shown=text(amount): shown}
            for amount in values
        ]
        chart.add(kind, points)
    return _draw(chart)
