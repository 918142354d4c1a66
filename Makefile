# One command a job; each sets up .venv by itself from the lock (constraints.txt).
PYTHON ?= python3
BIN := .venv/bin
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
COMMA := ,
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help study report test lab site publish readme anchor consensus recipes tasks latents circuits ladder panel peers benchmark matching-benchmark kernel-benchmark gpu-wheels cuda coverage
help:
	@echo "make study    run the quick study and render its report (minutes on two CPU cores)"
	@echo "make test     every check: export, notebooks, lint, a tiny study"
	@echo "make lab      JupyterLab on the notebooks"
	@echo "make report   execute and render the quick study's report anew"
	@echo "make anchor   a published experiment's 30,000 steps (an hour or so)"
	@echo "make consensus  one dictionary of the quick study's seeds, against simpler ones (after make study; ten minutes or so)"
	@echo "make recipes  the slow recipe of Nanda et al. next to the fast one, at p = 113 and at a small modulus (two hours or so of CPU; goes on where it was stopped, renews studies/stored)"
	@echo "make tasks    nine tasks, each from five seeds: which grok, at what cost, and which pass (an hour or so; goes on where it was stopped, renews studies/stored)"
	@echo "make latents    what kinds of features the quick study's SAEs have, and their controls (after make study; some minutes)"
	@echo "make ladder   what the agreement of the quick study's seeds is made of, beside SAEs of data that know less (after make study; some seven minutes of CPU)"
	@echo "make benchmark  training steps of ours and of three other libraries, measured in one run (three quarters of an hour, the first twenty minutes on a quiet machine)"
	@echo "make matching-benchmark  pairing dictionaries of up to 32,768 latents, against SciPy (a quarter of an hour)"
	@echo "make coverage  how often intervals over seeds hold the true value, and tests reject what is true, simulated (some eight minutes)"
	@echo "make cuda     banks trained and dictionaries matched on the CPU and on a GPU: whether they come out alike, and what it costs (a minute or two)"
	@echo "make kernel-benchmark  the CUDA kernels on a GPU: are they right, and how fast, against PyTorch and sparsify (some minutes; without a GPU a rehearsal of seconds)"
	@echo "make gpu-wheels  what python -m husai.kernels may want on a GPU machine that reaches no package index, into wheels/ (for its Python: GPU_PYTHON=3.12)"
	@echo "make circuits  what the features of the quick study's SAEs do in its model, and whether stable ones matter more (after make study; a quarter of an hour)"
	@echo "make panel    what SAEs find in several models at three sites, beside every control (half an hour or so of CPU; goes on where it was stopped)"
	@echo "make publish  copy the executed report's outputs and figures into the tree"
	@echo "make readme   README.md from nbs/index.ipynb"
	@echo "make site     the Quarto website"

study: .venv/.study
	@husai run studies/quick.yaml
report: .venv/.study
	@husai report _runs/quick
publish: .venv/.dev
	@husai publish _runs/quick
test: .venv/.dev
	@python .ci/checks.py
lab: .venv/.dev
	@jupyter lab nbs/index.ipynb
SWEEPS := anchor consensus recipes tasks latents ladder circuits panel cuda coverage
$(SWEEPS): .venv/.study
	@mkdir -p _runs/$@ && papermill nbs/sweeps/$@.ipynb _runs/$@/$@.ipynb
peers: .peers/.done
benchmark: .peers/.done
	@mkdir -p _runs/benchmark && papermill nbs/sweeps/bank_benchmark.ipynb _runs/benchmark/bank_benchmark.ipynb
kernel-benchmark: .venv/.dev
	@mkdir -p _runs/kernels && papermill nbs/sweeps/kernel_benchmark.ipynb _runs/kernels/kernel_benchmark.ipynb
GPU_PYTHON ?= 3.12
gpu-wheels: .venv/.dev
	@$(BIN)/pip download --quiet --no-deps --only-binary :all: --python-version $(GPU_PYTHON) --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --dest wheels -c constraints.txt safetensors eai-sparsify cuda-core && ls wheels
matching-benchmark: .venv/.study
	@mkdir -p _runs/matching && papermill nbs/sweeps/matching_benchmark.ipynb _runs/matching/matching_benchmark.ipynb
readme: .venv/.dev
	@python -c "from husai.report import readme; readme('nbs/index.ipynb', 'README.md')"
site: .venv/.dev
	@command -v quarto >/dev/null || { echo "make site needs Quarto 1.4 or newer: get it from https://quarto.org/docs/get-started, then run make site again (make study renders the report without it)"; exit 2; }
	@nbdev_proc_nbs && python -c "from husai.report import prepare_site; prepare_site('_proc')" && quarto render _proc --no-cache && rm -rf _docs && mv _proc/_docs _docs && echo "site: _docs/nbs/index.html"

# Without an NVIDIA driver, PyTorch's CPU build: from the configured indexes where they hold one, else from PyTorch's own; a CUDA build (gigabytes) only where neither does.
define cpu_torch
if [ -e /proc/driver/nvidia/version ]; then $(1) torch==$(TORCH); \
	else $(1) torch==$(TORCH)+cpu 2>/dev/null \
	  || $(1) --retries 1 --timeout 15 --extra-index-url https://download.pytorch.org/whl/cpu torch==$(TORCH)+cpu 2>/dev/null \
	  || { echo "no CPU build of PyTorch $(TORCH) on any index: taking the default build"; $(1) torch==$(TORCH); }; fi
endef
.venv/.torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "HUSAI needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	@echo "setting up .venv (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(call cpu_torch,$(PIP))
	@python -W ignore -c "import importlib.metadata as m, torch; b = sum(f.locate().stat().st_size for d in m.distributions() if d.name.startswith(('torch', 'nvidia', 'triton')) for f in d.files or [] if f.locate().is_file()); print(f'PyTorch {torch.__version__}, {\"CUDA\" if torch.version.cuda else \"CPU\"} build, {b / 1e9:.1f} GB')"
	@touch $@
.venv/.study: .venv/.torch settings.ini setup.py
	@$(PIP) -e '.[study$(if $(wildcard /proc/driver/nvidia/version),$(COMMA)cuda)]' && touch $@
.venv/.dev: .venv/.study
	@echo "installing what the checks need" && $(PIP) -e '.[study,dev]' && touch $@

# dictionary_learning asks for packages that do not go with ours; torchvision's wheels do not go with a CPU build of torch, and nothing here needs it.
PEER := .peers/dictionary_learning/bin/pip install --quiet --disable-pip-version-check
.peers/.done: .venv/.dev Makefile
	@rm -rf .peers && $(PYTHON) -m venv .peers/dictionary_learning
	@$(call cpu_torch,$(PEER))
	@$(PEER) torch==$(TORCH) dictionary-learning==0.1.0 nnsight==0.3.7 'transformers<6' && .peers/dictionary_learning/bin/pip uninstall --quiet --yes torchvision
	@.peers/dictionary_learning/bin/python -c "import dictionary_learning" && touch $@
