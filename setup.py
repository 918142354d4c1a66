"Packaging of HUSAI: everything is read from settings.ini; templates and studies ship inside the package."
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

root = Path(__file__).parent
ini = ConfigParser(delimiters=["="], interpolation=None)
ini.read(root / "settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]
extras = {name: cfg[f"{name}_requirements"].split() for name in ("study", "cuda", "ray", "wandb", "hub", "dev")}

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(root / "README.md").read_text(encoding="utf-8") if (root / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license="MIT",
    url=cfg["git_url"],
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    packages=["husai", "husai.templates", "husai.templates.report", "husai.studies"],
    package_dir={"husai.templates": "nbs/sweeps", "husai.templates.report": "nbs/report", "husai.studies": "studies"},
    package_data={"husai.templates": ["*.ipynb"], "husai.templates.report": ["*.ipynb"], "husai.studies": ["*.yaml"]},
    entry_points={"console_scripts": [cfg["console_scripts"]]},
    zip_safe=False,
)
