# Commands for people and for CI; "make" alone lists them. make run, make test
# and make bench-load install missing packages with apt.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LINT_VERSION := v2.15.0
GOLANGCI ?= bin/tools/golangci-lint-$(LINT_VERSION)/golangci-lint
NEED := tools/need
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Probing needs root. For other users, go test builds as the user and runs the
# test binaries through sudo.
EXEC := $(if $(ROOT),-exec "sudo -E env PATH=$$PATH")
ARGS ?=
DESTDIR ?=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
PKG ?= ./...
BENCHPKG ?= ./actors ./supervisor ./httpfront ./internal/exposition
# Separate modules, so that the exporter does not depend on what they need.
MODULES := bench internal/exposition/oracle
MODULE ?= $(if $(filter ./...,$(PKG)),$(MODULES))
DURATION ?= 20m
SEED ?=
PART ?= vm chaos bench-load compare
BASE ?=

export PATH := $(CURDIR)/bin/peers/usr/bin:$(CURDIR)/bin/peers/usr/sbin:$(PATH)

.PHONY: help
help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

.PHONY: go
go:
	@$(NEED) go

.PHONY: build
build: go ## build bin/stap-exporter, a static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/stap-exporter ./cmd/stap-exporter

.PHONY: run
run: go ## install SystemTap if missing, build, serve scripts/ on port 9900 (more flags: ARGS="-k 60")
	@$(NEED) run
	@$(MAKE) --no-print-directory build
	@echo "passing --scripts.allow-insecure: everyone who can write to this clone decides what runs as root"
	$(ROOT) bin/stap-exporter -s scripts --scripts.allow-insecure $(ARGS)

.PHONY: test
test: go ## run all tests, with real SystemTap and the race detector (fewer: PKG=./actors)
	@$(NEED) test
	go vet $(PKG)
	CGO_ENABLED=1 go test -race -timeout 30m $(EXEC) $(PKG)
	for m in $(MODULE); do (cd $$m; go vet ./...; CGO_ENABLED=1 go test -race ./...); done

.PHONY: test-fast
test-fast: go ## run the tests that need neither root nor other programs, in under a minute, for every save (fewer: PKG=./actors)
	go test -short -p 4 $(PKG)

.PHONY: chaos
chaos: build ## the chaos test with its p99 goal, on an otherwise idle machine: DURATION=20m, SEED= of an earlier run (make test runs it for a minute)
	go test -count=1 -timeout 0 -v -run '^TestChaos$$' $(EXEC) ./test/chaos -chaos $(DURATION) -chaos.exporter $(CURDIR)/bin/stap-exporter $(addprefix -chaos.seed ,$(SEED))

.PHONY: test-vm
test-vm: go ## build a guest for qemu and run the kernel-module scenarios in it (fewer: ARGS="-scenario output")
	go vet -tags vm ./test/vm/...
	go test -tags vm -count=1 -timeout 60m -v $(EXEC) ./test/vm -args $(ARGS)

.PHONY: acceptance
acceptance: go ## run the long tests, whose results are in docs/acceptance.md (fewer: PART="vm chaos bench-load compare", BASE=revision for compare)
	@BASE="$(BASE)" tools/acceptance $(PART)

.PHONY: lint
lint: go $(GOLANGCI) ## check style, imports and formatting
	for m in . $(MODULES); do (cd $$m; $(abspath $(GOLANGCI)) run); done

.PHONY: check
check: lint test ## what CI runs: lint, then test

.PHONY: fmt
fmt: go $(GOLANGCI) ## format the code
	for m in . $(MODULES); do (cd $$m; $(abspath $(GOLANGCI)) fmt); done

.PHONY: bench
bench: go ## run the micro-benchmarks
	go test -run '^$$' -bench . -benchmem $(PKG)

.PHONY: bench-compare
bench-compare: go ## compare the micro-benchmarks with those of BASE=revision (optional: BENCH=Scrape COUNT=6 BENCHTIME=200ms BENCHPKG=./actors)
	@BENCH="$(BENCH)" COUNT="$(COUNT)" BENCHTIME="$(BENCHTIME)" tools/bench-compare "$(BASE)" $(BENCHPKG)

.PHONY: bench-load
bench-load: build ## compare the server with others under load, results in bench/results (fewer: ARGS="-rounds 2 saturate")
	@$(NEED) bench
	cd bench && go build -o ../bin/bench/ ./serve ./load ./run ./standin
	$(ROOT) env PATH="$$PATH" PYTHON_EXPORTER="$${PYTHON_EXPORTER:-}" bin/bench/run $(ARGS)

.PHONY: install
install: ## install the build as a service: PREFIX=/usr/local, SYSCONFDIR=/etc, DESTDIR=
	@[ -x bin/stap-exporter ] || $(MAKE) --no-print-directory build
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" SYSCONFDIR="$(SYSCONFDIR)" packaging/install to

.PHONY: uninstall
uninstall: ## remove the installed files; changed files below SYSCONFDIR stay
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" SYSCONFDIR="$(SYSCONFDIR)" packaging/install from

.PHONY: clean
clean: ## remove the build; bin/tools and bin/peers stay
	rm -rf bin/stap-exporter bin/bench

# Built from source once, in 2 to 3 minutes. A new LINT_VERSION has a new
# directory.
bin/tools/golangci-lint-$(LINT_VERSION)/golangci-lint:
	GOBIN=$(CURDIR)/$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
