"Every check of `make test`. The last line reads `N passed, N failed`, counting notebooks and checks."
import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

root = Path(__file__).resolve().parent.parent
env = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1", NO_COLOR="1")
notebooks = sorted((root / "nbs").rglob("*.ipynb"))
library = [p for p in notebooks if re.match(r"\d\d_", p.name) and p.parent.name == "nbs"]


def shell(*command, cwd=root, **more):
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=dict(env, **more), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}"
    return done.stdout


def tree(folder):
    return {p.relative_to(folder): p.read_bytes() for part in ("husai", "nbs") for p in (folder / part).rglob("*") if p.suffix in (".py", ".ipynb")}


def export_and_clean_change_nothing():
    with tempfile.TemporaryDirectory() as tmp:
        for name in ("husai", "nbs", "settings.ini", "pyproject.toml", "_quarto.yml"):
            source = root / name
            ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            shutil.copytree(source, Path(tmp) / name, ignore=ignore) if source.is_dir() else shutil.copy(source, tmp)
        for path in (Path(tmp) / "husai").glob("*.py"):
            if path.name != "__init__.py": path.unlink()  # so that a module without a notebook shows
        before = tree(root)
        shell("nbdev_export", cwd=tmp)
        shell("nbdev_clean", cwd=tmp)
        after = tree(Path(tmp))
        drift = sorted(str(p) for p in before.keys() | after.keys() if before.get(p) != after.get(p) and "__pycache__" not in str(p))
    assert not drift, f"run nbdev_export and nbdev_clean, then commit: they change {', '.join(drift)}"


def imports_come_from_lower_floors():
    cells = {path: [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"] for path in library}
    floor = {m[1]: int(path.name[:2]) for path in library for c in cells[path] if (m := re.match(r"#\|\s*default_exp\s+(\S+)", c.source))}
    for path in library:
        for cell in cells[path]:
            source = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!")))
            for node in ast.walk(ast.parse(source)):
                names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else [a.name for a in node.names] if isinstance(node, ast.Import) else []
                for name in names:
                    module = name.split(".")[1] if name.startswith("husai.") else None
                    assert module is None or floor.get(module, 99) < int(path.name[:2]), f"{path.name} imports {name}, which is not on a lower floor"


def ruff_finds_nothing():
    shell("ruff", "check", "nbs", "husai", "setup.py", ".ci")


def readme_is_index():
    from husai.report import readme
    with tempfile.TemporaryDirectory() as tmp:
        readme(root / "nbs" / "index.ipynb", Path(tmp) / "README.md")
        assert (Path(tmp) / "README.md").read_text() == (root / "README.md").read_text(), "README.md differs from nbs/index.ipynb: run make readme"


def light_modules_import_in_a_bare_core():
    "pandas, pyarrow, pydantic, numba, plotly, typer and the study's packages and CUDA's own stay out of the modules that a GPU machine imports."
    heavy = ["pandas", "pyarrow", "pydantic", "yaml", "numba", "plotly", "typer", "rich", "transformer_lens", "papermill", "fastcore", "nbdev", "execnb", "IPython", "cuda"]
    block = f"import sys; sys.modules.update(dict.fromkeys({heavy}))\n"
    modules = ("provenance", "store", "shim", "selection", "products", "nvrtc", "kernels", "doctor", "codes", "sae", "architectures", "formats", "tracking", "feeds", "updates", "train", "assignment", "matching", "chance", "stability", "features", "clusters", "consensus", "sources", "pairs")
    shell(sys.executable, "-c", block + "import " + ", ".join(f"husai.{m}" for m in modules if (root / "husai" / f"{m}.py").exists()))


def requirements_are_locked():
    locked = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in (root / "constraints.txt").read_text().splitlines() if "==" in line}
    needed = {re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", r)[0]).lower() for r in importlib.metadata.requires("husai") if not re.search(r"extra == .(cuda)", r)}
    assert needed <= locked, f"constraints.txt does not lock {sorted(needed - locked)}"


def wheel_carries_templates_and_studies():
    with tempfile.TemporaryDirectory() as tmp:
        source = Path(tmp) / "source"
        files = shell("git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
        for name in files:
            if (root / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, source / name)
        shell(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp, source)
        shell(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", f"{tmp}/site", next(Path(tmp).glob("*.whl")))
        (Path(tmp) / "empty").mkdir()
        plan = "import husai; from husai.config import load_study; from husai.sweep import plan, study_file; print(husai.__file__, len(plan(load_study(study_file('quick')))))"
        printed = shell(sys.executable, "-c", plan, cwd=f"{tmp}/empty", PYTHONPATH=f"{tmp}/site")
        assert str(Path(tmp) / "site") in printed, f"the wheel was not what got imported: {printed}"


def stored_models_are_there():
    "What they measure is checked in 41_progress, against what is kept with them and their rows of the tables; here, that make tasks and make recipes have stored them, for each task and both recipes, and nothing else."
    from husai.progress import load_run, stored_runs
    from husai.provenance import load_table
    from husai.tasks import TASKS
    stored = root / "studies" / "stored"
    names = {part: sorted(load_run(at).settings[key] for at in stored_runs(stored / part)) for part, key in (("tasks", "task"), ("recipes", "recipe"))}
    assert names == dict(tasks=sorted(TASKS), recipes=["fast", "nanda"]), f"studies/stored holds {names}: run make tasks and make recipes, and commit what they store"
    for name in names:
        table = load_table(stored / f"{name}.parquet")
        assert len(table) and table.attrs["record"].get("config_hash"), f"{name}.parquet has no rows, or no record of what made it"
    size = sum(p.stat().st_size for p in stored.rglob("*") if p.is_file())
    assert size < 6e6, f"studies/stored holds {size / 1e6:.1f} MB; store fewer models"


def tiny_study(out):
    since = time.monotonic()
    printed = shell("husai", "run", root / "studies" / "tiny.yaml", "--out", out)
    print(f"{printed}tiny study: {time.monotonic() - since:.0f} s", flush=True)
    return printed


def tiny_study_makes_its_report():
    from husai.report import count_figures, external_references
    with tempfile.TemporaryDirectory() as tmp:
        tiny_study(f"{tmp}/tiny")
        page = Path(tmp) / "tiny" / "report" / "quick.html"
        drawn, stored = count_figures(page), count_figures(page.with_suffix(".ipynb"))
        assert drawn == stored and stored >= 6, f"{page.name} holds {drawn} figures, its notebook {stored}"
        assert not external_references(page.read_text()), f"the page loads {external_references(page.read_text())}"
        assert "are finished" in tiny_study(f"{tmp}/tiny"), "a second run did not reuse the first"
        tiny_study(f"{tmp}/again")
        differ = [str(p.relative_to(f"{tmp}/tiny")) for p in results(f"{tmp}/tiny") if not same(p, Path(f"{tmp}/again") / p.relative_to(f"{tmp}/tiny"))]
        assert not differ, f"two runs of one configuration differ in {', '.join(differ)}"


def results(folder):
    found = [p for p in sorted(Path(folder).rglob("*")) if p.suffix in (".parquet", ".safetensors")]
    assert len(found) > 20, f"only {len(found)} results in {folder}"
    return found


def same(a, b):
    "Whether two result files hold the same values, to the bit; their records may differ."
    from husai.provenance import load_table, load_tensors
    if a.suffix == ".parquet": return load_table(a).equals(load_table(b))
    a, b = load_tensors(a)[0], load_tensors(b)[0]
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a)


def notebook(path):
    def check(): shell("nbdev_test", "--path", path, "--n_workers", "0", "--do_print")
    check.__name__ = str(path.relative_to(root))
    return check


def kernels_can_be_compiled():
    "Else the kernels' notebooks say so and leave out what needs NVRTC."
    from husai.nvrtc import compiler_version
    from husai.shim import compiler
    print(f"NVRTC {compiler_version()}; g++: {compiler() or 'none, so kernels are not run on the CPU'}", flush=True)


def kernel_benchmark_rehearses():
    "Without a GPU, at toy sizes."
    with tempfile.TemporaryDirectory() as tmp:
        printed = shell(sys.executable, "-m", "husai.kernels", f"out={tmp}")
        assert "everything right so far" in printed and "training_step" in printed and "bank_step" in printed, printed[-2000:]


def planted_bugs_are_caught():
    "The slow cells of the kernels' notebooks: each builds wrong kernels, and the tests must see every one."
    for name in ("11_selection", "12_products"): shell("nbdev_test", "--path", root / "nbs" / f"{name}.ipynb", "--n_workers", "0", "--do_print", "--flags", "slow")


def run(check):
    since = time.monotonic()
    try: check()
    except Exception as e: why = str(e) or repr(e)
    else: why = ""
    print(f"{'FAILED' if why else 'passed'}  {check.__name__}  {time.monotonic() - since:.0f} s" + (f"\n{why}" if why else ""), flush=True)
    return not why


checks = [export_and_clean_change_nothing, imports_come_from_lower_floors, ruff_finds_nothing, readme_is_index, light_modules_import_in_a_bare_core,
          requirements_are_locked, stored_models_are_there, wheel_carries_templates_and_studies, kernels_can_be_compiled, kernel_benchmark_rehearses, planted_bugs_are_caught]
with ThreadPoolExecutor(2) as pool: outcomes = list(pool.map(run, [*checks, *map(notebook, [*library, root / "nbs" / "index.ipynb"])]))
outcomes.append(run(tiny_study_makes_its_report))  # by itself: it has its own two workers and a time limit to keep
print(f"{sum(outcomes)} passed, {len(outcomes) - sum(outcomes)} failed")
sys.exit(not all(outcomes))
