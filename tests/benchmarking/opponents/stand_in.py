"""A scheduler in a process of its own, which answers as that of an older Syne Tune does, and notes what it is told."""

from __future__ import annotations

import json
import sys


def serve() -> None:
    print("what a package prints when it is imported", file=sys.stderr)
    arguments = json.loads(sys.stdin.readline())
    print(json.dumps("ready"), flush=True)
    told: list[object] = []
    suggestions = [{"start": {"x": 0.25}}, {"start": {"x": 0.75}}, {"resume": 0}, {"start": {"x": told}}]
    for line in sys.stdin:
        call, *rest = json.loads(line)
        told.append([call, *rest])
        answer = None
        if call == "suggest":
            answer = suggestions.pop(0) if suggestions else None
        elif call == "result":
            _, level, value = rest
            is_bad = value > 0.5 if arguments["do_minimize"] else value < 0.5
            answer = "STOP" if is_bad else "PAUSE" if level % 2 == 0 else "CONTINUE"
        elif call == "error" and rest == [99]:
            raise ValueError("no such trial")
        print(json.dumps(answer), flush=True)
