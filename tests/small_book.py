"""A small book that uses everything the report uses, and what Quarto prints for its labels."""

from pathlib import Path

from PIL import Image

BIBLIOGRAPHY = """
@article{ho2020, title={Denoising Diffusion Probabilistic Models}, author={Ho, Jonathan and Jain, Ajay}, year={2020}}
@article{bansal2022, title={Cold Diffusion}, author={Bansal, Arpit}, journal={arXiv}, year={2022}}
"""
BOOK = {
    "_quarto.yml": """
project: {type: book}
book:
  title: A small book
  subtitle: "For {{< var course.name >}}"
  author: "{{< var author >}}"
  chapters: [index.qmd, first.qmd, {part: The rest, chapters: [second.qmd]}]
  appendices: [repeat.qmd]
bibliography: references.bib
lang: en
execute: {echo: false}
format: {html: {css: own.css, include-after-body: own.html, html-math-method: mathml}}
""",
    "references.bib": BIBLIOGRAPHY,
    "own.css": ".own { color: teal }\n",
    "own.html": "<script>document.title += ' and more'</script>\n",
    "_variables.yml": "author: Ada Lovelace\ncourse: {name: Deep Learning & more}\n",
    "_shared.qmd": "The shared paragraph says `{python} name`.\n",
    "index.qmd": """---
jupyter: python3
---

# Summary {.unnumbered}

{{< meta title >}} by {{< var author >}}; best `{python} 1 + 1`, not {{{< var author >}}}.
See @fig-forward, @tbl-pipe, @eq-alpha, @sec-first, [-@fig-forward], [Fig. @fig-forward], @sec-repeat, @fig-repeat.

![Everything at once](wide.png){#fig-summary fig-alt="a blue box" width=50%}

## Overview
""",
    "first.qmd": """# The first chapter {#sec-first}

```{python}
#| include: false
name = "a_b *c*"
print("never seen")
```

Value: `{python} round(0.123456, 3)`. A note.[^n] [The overview](index.qmd#overview), [all](second.qmd).

[^n]: Which refers to @tbl-html.

{{< include _shared.qmd >}}

![A strip of $z_t$ after @ho2020.](wide.png){#fig-forward fig-alt="six grey squares" width=200}

| variant | FID |
|:--------|----:|
| a       | 1.5 |

: Scores {#tbl-pipe}

$$ z_t = \\sqrt{\\bar\\alpha_t}\\, x $$ {#eq-alpha}

## Overview {#sec-overview}

By @eq-alpha and @sec-overview, after [@ho2020; @bansal2022], [@fig-forward; @tbl-pipe].

### Details {#sec-details}

::: {.callout-note}
A plain note.
:::

::: {.callout-warning}
## Mind the step
A titled one.
:::

::: {.content-visible when-format="html"}
Seen in HTML.
:::

::: {.content-hidden when-format="html"}
Hidden in HTML, @fig-nowhere.
:::

## Aside {.unnumbered}

## Close {#sec-close}
""",
    "second.qmd": """# The second chapter {#sec-second}

```{python}
#| output: asis
print("## Computed {#sec-computed}\\n\\nA **computed** sentence about @fig-printed.\\n")
print("![Printed](wide.png){#fig-printed fig-alt='printed'}\\n")
```

::: {#tbl-html}

```{=html}
<table><thead><tr><th>raw</th></tr></thead><tbody><tr><td>7</td></tr></tbody></table>
```

A raw table
:::

```{python}
#| label: tbl-frame
#| tbl-cap: "From a cell, as in @fig-printed"
import os, sys, pandas
pandas.DataFrame({"a": [41]})
```

```{python}
#| echo: true
print(sys.executable, os.getcwd())
6 * 7
```

```{python}
#| eval: false
#| echo: true
raise SystemExit("never run")
```

::: {#fig-panel layout-ncol=2}
![Left](wide.png){#fig-left fig-alt="l"}

![Right](wide.png){#fig-right fig-alt="r"}

Both sides
:::

$$
\\bar\\alpha_t = \\prod_{s \\le t} (1 - \\beta_s)
$$ {#eq-bar}

See @fig-right, @sec-details, @sec-second and @sec-repeat.
""",
    "repeat.qmd": """# Reproducibility {#sec-repeat}

![The appendix's own](wide.png){#fig-repeat fig-alt="again"}

## Steps {#sec-steps}

@sec-steps, @sec-first, @eq-bar.
""",
}
PRINTED = {
    "fig-summary": "Figure 1", "sec-first": "Chapter 1", "fig-forward": "Figure 1.1", "tbl-pipe": "Table 1.1",
    "eq-alpha": "Equation 1.1", "sec-overview": "Section 1.1", "sec-details": "Section 1.1.1",
    "sec-close": "Section 1.2", "sec-second": "Chapter 2", "sec-computed": "Section 2.1", "fig-printed": "Figure 2.1",
    "tbl-html": "Table 2.1", "tbl-frame": "Table 2.2", "fig-panel": "Figure 2.2", "fig-left": "(a)",
    "fig-right": "(b)", "eq-bar": "Equation 2.1", "sec-repeat": "Appendix A", "fig-repeat": "Figure A.1",
    "sec-steps": "Section A.1",
}  # fmt: skip


def write_book(folder: Path, files: dict[str, str] = BOOK) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    Image.new("RGB", (400, 100), (80, 120, 200)).save(folder / "wide.png")
    return folder
