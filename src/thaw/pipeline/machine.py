"""What this machine has room for and computes with, asked without importing torch, which takes seconds."""

import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from thaw.params import Params
from thaw.results.layout import Artifacts
from thaw.results.runs import read_run
from thaw.results.wording import many

GPU_MEMORY = 1536
"""MiB of a GPU for each job; with the standard budget a stage took up to 964, of which most is CUDA's own."""
BF16_MAJOR = 8
"""The first of CUDA's compute capabilities that multiplies bfloat16 in hardware."""
PRECISION = "THAW_PRECISION"
"""core.hardware's environment variable that sets the precision."""
WORDS = {"precision": "in ", "device": "on ", "torch": "with torch ", "numpy": "with numpy "}
PROCESSORS = {"AVX512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}, "AVX2": {"avx2", "fma"}, "DEFAULT": set[str]()}
"""What torch calls a processor, the best first, by the instructions that it asks for."""


def jobs_for(params: Params) -> int:
    """As many jobs as the machine has room for, at `threads` threads each, and in the memory of its GPU if it has one.

    Of several GPUs every stage takes the first.
    """
    jobs = (os.cpu_count() or 1) // params.threads
    free = _gpu("memory.free")
    return max(1, min(jobs, int(free) // GPU_MEMORY) if free.isdecimal() else jobs)


def _gpu(question: str) -> str:
    """What NVIDIA's own program says of the first GPU; nothing where there is none, or none to be used."""
    program, visible = shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if program is None or visible in ("", "-1"):
        return ""
    query = [program, f"--id={visible}", f"--query-gpu={question}", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True)
    return "" if done.returncode else done.stdout.strip()


def this_machine() -> dict[str, str]:
    """What decides the last digits of a training here, in the words of run.json; what cannot be told is left out."""
    facts = {name: version(name) for name in ("torch", "numpy")}
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), None)
    if flags is None:
        return facts
    capability = next(name for name, needed in PROCESSORS.items() if needed <= flags)
    gpu, _, compute = _gpu("name,compute_cap").rpartition(", ")
    major = compute.partition(".")[0]
    fast = major.isdecimal() and int(major) >= BF16_MAJOR if gpu else "avx512_bf16" in flags
    facts["device"] = f"{f'cuda {gpu}' if gpu else f'cpu {platform.machine()}'} {capability}"
    facts["precision"] = os.environ.get(PRECISION) or ("bf16" if fast else "fp32")
    return facts


def machine_notes(artifacts: Artifacts, variants: Iterable[str]) -> list[str]:
    """A sentence for each kind of machine that variants were trained on and that rounds otherwise than this one."""
    here, counts = this_machine(), Counter[tuple[tuple[str, str], ...]]()
    for path in filter(Path.exists, map(artifacts.run, variants)):
        trained = read_run(path).get("train", {})
        there = {key: str(trained[key]).partition("+")[0] for key in here if key in trained}
        counts[tuple((key, value) for key, value in there.items() if value != here[key])] += 1
    return [
        f"{many(number, 'variant')} {'was' if number == 1 else 'were'} trained "
        f"{' '.join(WORDS[key] + value for key, value in facts)}; here it would be "
        f"{' '.join(WORDS[key] + here[key] for key, _ in facts)}, and a rerun gives other last digits."
        for facts, number in counts.most_common()
        if facts
    ]
