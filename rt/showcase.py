"""The page of the styles: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeGuard

from rt.errors import StyleError
from rt.html import document, embedded, facts, table
from rt.replacing import replacing
from rt.styles import Listed, Style
from rt.text import counted, megabytes

PAIRS = 8
"""Images of pairs that are shown where a style has no grid."""
METRICS = {
    "kid": ("KID on pretrained features", ""),
    "gram": ("Gram distance on pretrained features", ""),
    "swd": ("Sliced Wasserstein distance", ""),
    "lab": ("Lab colour distance", ""),
    "rkid": ("rKID", ""),
    "classified_as_target": ("Classified as target", "%"),
    "l1": ("L1 to the wanted image, levels", ""),
    "psnr": ("PSNR to the wanted image, dB", ""),
    "ssim": ("SSIM to the wanted image", ""),
    "ms_ssim": ("MS-SSIM to the wanted image", ""),
    "warping": ("Warping error under drawn motion, levels", ""),
}
"""Name of a metric on a card → what people call it, and its unit."""
TYPES = {".jpg": "image/jpeg", ".mp4": "video/mp4"}
_NO_ICON = '<link rel="icon" href="data:,">\n'
_PLAY = (
    "if (!matchMedia('(prefers-reduced-motion: reduce)').matches)"
    " document.querySelectorAll('video').forEach((clip) => clip.play().catch(() => {}));"
)
"""Clips play by themselves, but not for those who asked their system for less motion."""


def write_page(listed: Sequence[Listed], path: Path, overwrite: bool) -> None:
    """Write the page of the styles under a temporary name, then rename it.

    Raises:
        StyleError: the file exists and is not to be replaced, or something cannot be read or written.
    """
    if path.exists() and not overwrite:
        raise StyleError(f"{path} exists: add --overwrite to replace it, or name another file with --out")
    try:
        with replacing(path) as part:
            part.write_text(make_page(listed), encoding="utf-8")
    except OSError as error:
        raise StyleError(f"{path} cannot be written: {error.strerror}") from None


def make_page(listed: Sequence[Listed]) -> str:
    """Return the page of the styles, damaged ones with what is wrong with them.

    Raises:
        OSError: a preview cannot be read.
    """
    styles = "a style" if len(listed) == 1 else f"{len(listed)} styles"
    links = "".join(f'<a href="#{escape(entry.name)}">{escape(entry.name)}</a>' for entry in listed)
    articles = "\n".join(
        _damaged(entry) if entry.style is None else _article(entry.style) for entry in listed
    )
    css = Path(__file__).with_name("showcase.css").read_text(encoding="utf-8")
    body = f"""<header>
<h1>videobrush styles</h1>
<p>What each style does, how well, how fast, and what is wrong with it: the facts of its card.</p>
<nav>{links}</nav>
</header>
<main>
{articles}
</main>"""
    return document(f"videobrush: {styles}", css, body, _PLAY, _NO_ICON)


def _damaged(entry: Listed) -> str:
    name = escape(entry.name)
    return f"""<article id="{name}"><header><h2>{name}</h2></header>
<p class="damaged">{escape(entry.fault or "")}</p></article>"""


def _article(style: Style) -> str:
    card = style.card
    name = escape(card.name)
    faults = "".join(f"<li>{escape(fault)}</li>" for fault in card.faults) or "<li>None stated.</li>"
    return f"""<article id="{name}">
<header><h2>{name}</h2><p class="title">{escape(card.title)}</p></header>
<div class="body">
<div>{_previews(style)}<h3>Run it</h3>{_commands(style)}
<h3>Known faults</h3><ul class="faults">{faults}</ul>
<h3>What it is made from</h3>{_facts({**_models(style), **card.data})}</div>
<div>{"".join(_figures(card.metrics))}</div>
</div>
<details><summary>How it was made</summary>{_facts({**card.network, **card.training})}</details>
</article>"""


def _commands(style: Style) -> str:
    name = escape(style.card.name)
    lines = {
        "photo": (
            f"videobrush run 0 --style {name}",
            f"videobrush run clip.mp4 {name}.mp4 --style {name} --compare",
            f"videobrush studio --style {name} --open",
        ),
        "gray photo": (
            f"videobrush run gray.mp4 {name}.mp4 --style {name} --compare",
            f"videobrush run gray.jpg {name}.jpg --style {name}",
        ),
        "label map": (
            f"videobrush run labels.png {name}.png --style {name}",
            f"videobrush run labels.mp4 {name}.mp4 --style {name}",
        ),
    }[style.card.expects]
    return f"<pre>{chr(10).join(lines)}</pre>"


def _previews(style: Style) -> str:
    folder, title = style.folder / "previews", escape(style.card.title, quote=True)
    parts = []
    if (clip := folder / "clip.mp4").is_file():
        parts.append(
            f'<figure><video src="{_embedded(clip)}" aria-label="{title}" muted loop playsinline controls>'
            "</video>"
            "<figcaption>A clip, before and after, frame by frame</figcaption></figure>"
        )
    if (grid := folder / "grid.jpg").is_file():
        parts.append(
            f'<figure><img src="{_embedded(grid)}" alt="{title}: eight images before and after">'
            "<figcaption>Images, each before and after</figcaption></figure>"
        )
    elif pairs := [path for path in sorted(folder.glob("*.jpg")) if path.stem != "demo"][:PAIRS]:
        shown = "".join(f'<img src="{_embedded(path)}" alt="{escape(path.stem)}">' for path in pairs)
        parts.append(
            f'<figure><div class="pairs">{shown}</div>'
            "<figcaption>Images, each before and after</figcaption></figure>"
        )
    return "".join(parts) or '<p class="note">It has no previews.</p>'


def _embedded(path: Path) -> str:
    return embedded(path.read_bytes(), TYPES[path.suffix])


def _figures(metrics: Mapping[str, Any]) -> Iterator[str]:
    if not metrics:
        yield '<p class="note">Nothing was measured.</p>'
    yield from _quality(metrics)
    yield from _closeness(metrics)
    yield from _steadiness(metrics)
    yield from _speed(metrics)


def _models(style: Style) -> dict[str, Any]:
    card = style.card
    px = f"{card.fixed_size[0]}×{card.fixed_size[1]}" if card.fixed_size else f"short side {card.size_px} px"
    found: dict[str, Any] = {
        precision.upper(): megabytes(model.size_bytes, 2) for precision, model in card.models.items()
    }
    seen = {} if card.view == "image" else {"looks at": f"the image's {card.view}"}
    shown = {"shown": "instead of the frame"} if card.detail == "network" else {}
    made_for = {} if card.expects == "photo" else {"made for": f"a {card.expects}"}
    return {"network's image": px, **made_for, **seen, **shown, **found}


def _quality(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of figures between floor and ceiling, the teacher's among them where there are any."""
    itself = metrics.get("teacher_itself", {})
    rows = []
    for name, (words, unit) in METRICS.items():
        if not _is_measured(found := metrics.get(name)):
            continue
        cells = [_figure(found["translated"], unit)]
        if itself:
            cells.append(_translated(itself, name, unit))
        cells += [_figure(found["floor"], unit), _figure(found["ceiling"], unit)]
        rows.append([words, *cells, _bar(found)])
    if not rows:
        return
    headings = ["", "style", *(["teacher"] if itself else []), "floor", "ceiling", "from ceiling to floor"]
    yield f"<h3>How well</h3>{table(headings, rows, last='far')}"
    where = str(metrics.get("measured_on", ""))
    compared = metrics.get("compared")
    notes = [where[:1].upper() + where[1:]] if where else []
    notes += [f"Distances compare {compared} images with as many"] if compared and "swd" in metrics else []
    notes += ["Floor: what a perfect translation reaches; ceiling: the untouched images"]
    yield f'<p class="note">{escape(". ".join(notes))}.</p>'


def _closeness(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield how close the small network is to its teacher, and INT8 to FP32."""
    rows = []
    if teacher := metrics.get("teacher"):
        rows.append(["Style to its teacher", _translated(teacher, "psnr"), _translated(teacher, "ssim")])
    if int8 := metrics.get("int8"):
        rows.append(["INT8 to FP32", _figure(int8.get("psnr_db")), "–"])
    if rows:
        yield f"<h3>How close</h3>{table(['', 'PSNR, dB', 'SSIM'], rows)}"


def _steadiness(metrics: Mapping[str, Any]) -> Iterator[str]:
    median = metrics.get("clips", {}).get("median", {})
    words = {
        "style": "The network's images",
        "teacher": "Its teacher's",
        "seen": "What a viewer sees",
        "seen_steadied": "… with --steady 1",
    }
    rows = [[text, _figure(median[name])] for name, text in words.items() if name in median]
    if rows:
        yield f"<h3>How steady</h3>{table(['', 'warping error over the clip’s'], rows)}"
        count = len(metrics["clips"].get("rows", ()))
        clips = counted(count, "real clip")
        yield f'<p class="note">Median of {clips}; 1 is as steady as the clip itself.</p>'


def _speed(metrics: Mapping[str, Any]) -> Iterator[str]:
    if not (speed := metrics.get("speed")):
        return
    rows = [
        [
            f"{row['name']}, {row['size'][1]}×{row['size'][0]}",
            _figure(row["p50_ms"]),
            _figure(row["p95_ms"]),
            f"{row['fps']:.0f}",
        ]
        for row in speed["rows"]
    ]
    yield f"<h3>How fast</h3>{table(['', 'ms, p50', 'p95', 'images/s'], rows)}"
    machine = speed.get("machine", {})
    where = f"{machine.get('cpu', 'unknown')}, {machine.get('threads', '?')} cores, {speed.get('date', '')}"
    yield f'<p class="note">The network alone on {escape(where)}.</p>'


def _facts(known: Mapping[str, Any]) -> str:
    return facts((_words(name), _fact(fact)) for name, fact in known.items())


def _fact(fact: Any) -> str:
    if isinstance(fact, Mapping):
        if any(isinstance(inner, Mapping) or len(str(inner)) > 24 for inner in fact.values()):
            return _facts(fact)
        return escape(", ".join(f"{_words(name)} {inner}" for name, inner in fact.items()))
    if isinstance(fact, list):
        return escape(", ".join(str(entry) for entry in fact))
    text = escape(str(fact))
    return f"<code>{text}</code>" if text.startswith("videobrush-") else text


def _words(name: str) -> str:
    return name.replace("_", " ")


def _is_measured(found: Any) -> TypeGuard[Mapping[str, float]]:
    return isinstance(found, Mapping) and {"translated", "floor", "ceiling"} <= found.keys()


def _translated(metrics: Mapping[str, Any], name: str, unit: str = "") -> str:
    found = metrics.get(name)
    return _figure(found["translated"], unit) if _is_measured(found) else "–"


def _figure(value: float | None, unit: str = "") -> str:
    """Return a figure with three digits or so; a share as percent."""
    if value is None:
        return "–"
    if unit == "%":
        return f"{100 * value:.0f} %"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _bar(found: Mapping[str, float]) -> str:
    """Return how far a figure is from the ceiling to the floor, as a bar."""
    span = found["ceiling"] - found["floor"]
    share = (found["ceiling"] - found["translated"]) / span if span else 0.0
    share = min(1.0, max(0.0, share))
    return f'<span class="bar" role="img" aria-label="{share:.0%}"><i style="width:{share:.0%}"></i></span>'
