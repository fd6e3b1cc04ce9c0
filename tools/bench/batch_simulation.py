"""How well many nodes are used: `python -m tools.bench.batch_simulation`.

Simulates a batch of films whose lengths are spread as people's are (log-normal) on 1 to 1000 nodes: whole
files, or chunks of some seconds with a join at the end, taken longest first by whichever node is free; in
shares, as `--shard` gives them, each node has its own files. Nodes fail at random, and what they did then is
done again. Nothing is measured but the plan: a second of video takes a second. Prints the share of the ideal
(all work evenly on all nodes), then one JSON object as the last line; `--save` also writes it to
tools/bench/results.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from typing import Any

from rt.batch.chunk import CUT_FROM
from tools.bench.result import facts, finish, parser, table

NODES = (1, 4, 16, 64, 256, 1000)
CHUNKS_S = (None, 60.0, 300.0, 900.0)
BEGIN_S = 2.0
"""Of each task: the file is opened, the span is found, the encoder begins."""
JOIN = 0.005
"""Of a second of video: its packets are copied."""
FAILURES_PER_H = 0.02
"""Of one node."""


def main() -> None:
    """Simulate and print."""
    options = parser(__doc__)
    options.add_argument("--files", type=int, default=10_000)
    options.add_argument("--median", type=float, default=240, help="seconds of a film")
    options.add_argument("--spread", type=float, default=1.3, help="sigma of the logarithm")
    options.add_argument("--seed", type=int, default=1)
    typed = options.parse_args()
    draw = random.Random(typed.seed)
    lengths = [min(4 * 3600, typed.median * draw.lognormvariate(0, typed.spread)) for _ in range(typed.files)]
    rows: list[tuple[str, list[float]]] = [
        (
            "whole files" if chunk is None else f"chunks of {chunk:g} s",
            [used(lengths, nodes, chunk, typed.seed) for nodes in NODES],
        )
        for chunk in CHUNKS_S
    ]
    rows.append(("shares of whole files", [shared(lengths, nodes) for nodes in NODES]))
    result: dict[str, Any] = facts("batch_simulation") | {
        "files": typed.files,
        "hours": round(sum(lengths) / 3600, 1),
        "longest_s": round(max(lengths)),
        "nodes": NODES,
        "share_of_ideal": {name: [round(share, 4) for share in shares] for name, shares in rows},
    }
    title = f"{typed.files} films, {sum(lengths) / 3600:.0f} h: share of the ideal"
    shown = [(name, *(f"{share:.1%}" for share in shares)) for name, shares in rows]
    finish(result, table(title, ("nodes", *map(str, NODES)), shown), typed.save)


def used(lengths: Sequence[float], nodes: int, chunk_s: float | None, seed: int) -> float:
    """Return which share of the ideal is reached: the longest task first, whichever node is free takes it."""
    draw = random.Random(seed)
    free = [0.0] * nodes
    joins: list[tuple[float, float]] = []  # when all parts are there, seconds of the film
    ended = 0.0
    for length_s in sorted(lengths, reverse=True):
        pieces = cut(length_s, chunk_s)
        last = 0.0
        for piece in pieces:
            while joins and joins[0][0] <= free[0]:  # a join comes before all else
                _, joined_s = heapq.heappop(joins)
                heapq.heappush(free, heapq.heappop(free) + BEGIN_S + JOIN * joined_s)
            last = max(last, done_by(free, piece, draw))
        ended = max(ended, last)
        if len(pieces) > 1:
            heapq.heappush(joins, (last, length_s))
    while joins:
        ready, joined_s = heapq.heappop(joins)
        heapq.heappush(free, max(heapq.heappop(free), ready) + BEGIN_S + JOIN * joined_s)
    ended = max(ended, *free)
    return sum(lengths) / nodes / ended


def done_by(free: list[float], length_s: float, draw: random.Random) -> float:
    """Give a task to the node that is free first; return when it is done, failures of nodes included."""
    at = heapq.heappop(free)
    while True:
        until_failure_s = draw.expovariate(FAILURES_PER_H / 3600)
        if until_failure_s >= length_s + BEGIN_S:
            break
        at += until_failure_s
    at += length_s + BEGIN_S
    heapq.heappush(free, at)
    return at


def cut(length_s: float, chunk_s: float | None) -> list[float]:
    """Return the lengths of a film's chunks."""
    if chunk_s is None or length_s < CUT_FROM * chunk_s:
        return [length_s]
    count = max(2, round(length_s / chunk_s))
    return [length_s / count] * count


def shared(lengths: Sequence[float], nodes: int) -> float:
    """Return which share of the ideal is reached where each node has each so-and-so-many-th file."""
    loads = [sum(length + BEGIN_S for length in lengths[node::nodes]) for node in range(nodes)]
    return sum(lengths) / nodes / max(loads)


if __name__ == "__main__":
    main()
