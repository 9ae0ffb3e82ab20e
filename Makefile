# make train   environment if missing, then the default training, its evaluation and report
# make quick   environment if missing, then the tests but those of whole commands
# make test    environment if missing, then all tests
# make lint    environment if missing, then ruff and mypy
# make docs    environment if missing, then the documentation, into site/
# make pictures   environment if missing, then the pictures of README.md and docs/

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
# Two workers by default: more than the cores there are only makes them wait for each other.
JOBS ?= 2

UV := $(shell command -v uv)

.PHONY: train quick test lint docs pictures clean-environment

train: $(STAMP)
	$(BIN)/python train.py

quick: $(STAMP)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

test: $(STAMP)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pictures: $(STAMP)
	$(BIN)/python docs/pictures.py

# The stamp is written last, so an installation that was cut short starts again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "physworld needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(if $(UV),$(UV) venv --quiet --python $(PYTHON) .venv,$(PYTHON) -m venv .venv)
	$(if $(UV),$(UV) pip install --python $(BIN)/python,$(BIN)/pip install) --quiet -c constraints.txt -e '.[all,dev]'
	touch $@

clean-environment:
	rm -rf .venv
