"""Whether a repetition agrees with the committed results."""

from thaw.artifacts import Artifacts
from thaw.reporting.metrics import METRICS
from thaw.reporting.results import Results


def agreement_table(artifacts: Artifacts, before: dict[str, dict[str, float]]) -> str:
    """Every metric before and now, and whether the old value is the same, within the new interval, or outside it."""
    found = Results(artifacts)
    lines = [f"{'variant':24} {'metric':26} {'committed':>12} {'now':>12}  agreement"]
    outside = 0
    for variant, metrics in before.items():
        for key, old in metrics.items():
            now = found.find(variant, key) if key in METRICS else None
            if now is None:
                lines.append(f"{variant:24} {key:26} {old:12.6g} {'–':>12}  not measured now")
                continue
            # plots/summary.csv keeps nine digits.
            same = f"{old:.9g}" == f"{now.value:.9g}"
            inside = now.low <= old <= now.high
            outside += not (same or inside)
            verdict = "the same" if same else "within the interval" if inside else "OUTSIDE the interval"
            lines.append(f"{variant:24} {key:26} {old:12.6g} {now.value:12.6g}  {verdict}")
    lines.append(f"{outside} of {sum(map(len, before.values()))} committed values are outside the new intervals.")
    return "\n".join(lines)
