# Everything installs into .venv what it needs, once: the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt --editable
# Two processes; tests that share fixtures stay together (tests/conftest.py).
TOGETHER := -n 2 --dist loadgroup

.PHONY: install demo test test-all test-backends test-gallery test-serving test-pythons
.PHONY: gallery docs test-notebooks sizes lint clean

install: .venv/.installed

.venv/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) '.[all]'
	touch $@

.venv/.installed-test: .venv/.installed
	$(INSTALL) '.[test]'
	touch $@

# Train, measure, generate, export and verify on data that comes with the packages.
demo: install
	rm -rf runs/demo
	mkdir -p runs/demo
	$(BIN)/kerasgen train vae_digits --out runs/demo/run
	$(BIN)/kerasgen evaluate runs/demo/run
	$(BIN)/kerasgen generate runs/demo/run -n 64 --seed 7 --out runs/demo/samples.png
	$(BIN)/kerasgen export runs/demo/run --out runs/demo/artifact
	$(BIN)/kerasgen verify runs/demo/artifact

test: .venv/.installed-test
	$(BIN)/python -m pytest $(TOGETHER) -m 'not slow' --ignore tests/backends

test-all: .venv/.installed-test test-backends
	$(BIN)/python -m pytest $(TOGETHER) --ignore tests/backends

# JAX beside TensorFlow, and what every model must do, on JAX alone.
test-backends: .venv/.installed-test
	$(INSTALL) '.[jax]'
	$(BIN)/python -m pytest tests/backends
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(TOGETHER) -m 'not slow' tests/contract

# The wheel in fresh environments of each Python.
test-pythons:
	$(PYTHON) tools/test_pythons.py

# The site of documents, in build/site; its tutorials are run.
docs: .venv/.installed-docs
	$(BIN)/python tools/docs.py

test-notebooks: .venv/.installed-docs
	$(BIN)/python tools/docs.py --notebooks

.venv/.installed-docs: .venv/.installed
	$(INSTALL) '.[all,docs]'
	touch $@

# A static site of saved_models, in which the visitor generates; needs npm.
gallery: install
	$(BIN)/python tools/gallery.py

# In Debian's Chromium, which apt-get installs where it is missing.
test-gallery: .venv/.installed-test
	command -v chromium || { apt-get update && \
		apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; }
	$(INSTALL) '.[gallery]'
	$(BIN)/python -m pytest tests/gallery -s

# NVIDIA Triton serves saved_models by HTTP and gRPC, half a minute of load for each file.
# It needs NumPy 1: its own venv.
test-serving: install .venv-serving/.installed
	$(BIN)/python tools/serving.py --seconds 10 --json build/serving.json

.venv-serving/.installed: tools/serving.txt
	$(PYTHON) -m venv .venv-serving
	.venv-serving/bin/pip install --quiet --requirement tools/serving.txt
	touch $@

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# Megabytes of saved_models, by artifact and format, and of a shallow clone.
sizes: install
	$(BIN)/python tools/sizes.py

clean:
	rm -rf .venv .venv-serving runs/demo build *.egg-info
