# Thin over tasks.py, which does the work and also runs without make.
#   make report PROFILE=smoke PYTHON=python3.12

PYTHON ?= python3
TASKS := lab report test bench docs wheelhouse clean lock

.PHONY: help $(TASKS)
.NOTPARALLEL:

help:
	@$(PYTHON) tasks.py help

# MAKEOVERRIDES: the NAME=VALUE arguments of this call, so that tasks.py
# notices a misspelt name. Those of the environment reach it by themselves.
$(TASKS):
	@$(PYTHON) tasks.py $@ $(MAKEOVERRIDES)
