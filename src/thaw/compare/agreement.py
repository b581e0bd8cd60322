"""Whether a repetition agrees with the committed results."""

from thaw.results.layout import Artifacts
from thaw.results.measurements import Results


def agreement_table(artifacts: Artifacts, before: dict[str, dict[str, float]]) -> str:
    """Every metric before and now, and whether the old value is the same, within the new interval, or outside it."""
    found = Results(artifacts)
    lines = [f"{'variant':24} {'metric':26} {'committed':>12} {'now':>12}  agreement"]
    outside = 0
    for variant, metrics in before.items():
        for key, old in metrics.items():
            line = f"{variant:24} {key:26} {old:12.6g}"
            if (now := found.find(variant, key)) is None:
                lines.append(f"{line} {'–':>12}  not measured now")
                continue
            # results/summary.csv keeps nine digits.
            same = f"{old:.9g}" == f"{now.value:.9g}"
            inside = now.low <= old <= now.high
            outside += not (same or inside)
            verdict = "the same" if same else "within the interval" if inside else "OUTSIDE the interval"
            lines.append(f"{line} {now.value:12.6g}  {verdict}")
    lines.append(f"{outside} of {sum(map(len, before.values()))} committed values are outside the new intervals.")
    return "\n".join(lines)
