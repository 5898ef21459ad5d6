"""The pages beside the scripts: one table a part, the machine on top."""

from pathlib import Path

import pandas as pd

from capkit import telemetry


def to_markdown(table: pd.DataFrame) -> str:
    """A table with three significant digits."""
    cells = table.map(lambda v: f"{v:.3g}" if isinstance(v, float) else str(v)).replace("nan", "")
    rows = [list(table.columns), ["---"] * len(table.columns), *cells.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def write_page(script: str, title: str, parts: dict[str, pd.DataFrame]) -> None:
    """Write the page of a script, ``NAME.md`` beside ``NAME.py``, and print it."""
    here = telemetry.machine()
    machine = f"{here['cpu']}, {here['cores']} cores, {here['memory_gib']:.0f} GiB"
    lines = [
        f"# {title}",
        "",
        f"Machine: {machine}, Python {here['python']}; shared, so expect noise.",
        f"Written by `benchmarks/{Path(script).name}`; each row in one run.",
    ]
    lines += [f"\n## {heading}\n\n{to_markdown(table)}" for heading, table in parts.items()]
    page = Path(script).with_suffix(".md")
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(page.read_text(encoding="utf-8"))
