# Commands for working on Weir; 'make help' lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

# All is built as what is shipped, so that nothing is compiled twice.
export CGO_ENABLED := 0
export GOFLAGS := $(shell $(GO) env GOFLAGS) -trimpath

# FUZZTIME is how long each fuzz target runs.
FUZZTIME ?= 10s

# OPTIONAL=1 lets test-terraform and test-cli pass where their programs are
# missing.
OPTIONAL ?=

GOVULNCHECK_VERSION   := v1.9.0
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := bin/golangci-lint-$(GOLANGCI_LINT_VERSION)

# SQLite is C translated to Go. The race detector would watch each of its
# memory accesses, which makes the tests ten times slower and tells nothing
# about Weir.
RACE := -race -gcflags=modernc.org/...=-race=false

# PARALLEL is how many tests of a package run at a time: many wait for a process
# or a moment more than they compute.
PARALLEL := -parallel $(shell echo $$((2 * $$(nproc 2>/dev/null || echo 2))))

# summary reads the output of 'go test -v': it prints one line a package, and
# what a package that failed has written. A skipped test fails the run, so that
# none is skipped unseen; only those that drive the vendor's programs may be.
define summary
awk '
	/^[[:space:]]*--- SKIP/ { skipped[++skips] = $$0 }
	/^ok[[:space:]]/ {
		print; fflush()
		if (skips && $$2 ~ /\/e2e\/terraform$$/) printf "note: skipped %d in %s: no terraform or no provider\n", skips, $$2
		else if (skips && $$2 ~ /\/e2e\/cli$$/) printf "note: skipped %d in %s: CONFLUENT_CLI names no program\n", skips, $$2
		else for (i = 1; i <= skips; i++) { print "skipped in " $$2 ": " skipped[i]; bad = 1 }
		skips = 0; held = ""; next
	}
	/^\?[[:space:]]/ { held = ""; next }
	/^FAIL[[:space:]]/ { printf "%s", held; print; fflush(); held = ""; skips = 0; next }
	/^=== |^[[:space:]]*--- PASS|^PASS$$/ { next }
	{ held = held $$0 "\n" }
	END { printf "%s", held; if (bad) print "No test may be skipped: give it what it needs."; exit bad }'
endef
export summary

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-16s %s\n", $$1, $$2 }'

.PHONY: build
build: ## Build bin/weir
	$(GO) build -ldflags "-s -w -X main.version=$(VERSION)" -o bin/weir ./cmd/weir

.PHONY: deps
deps: ## Install what the tests need beside Go (PostgreSQL's server programs)
	@bash .ci/run deps

.PHONY: test
test: deps ## Run all tests: both databases, the engine, the clients
	@# To vet takes long, and make lint does it, save in deploy.
	$(GO) test -v -vet=off -timeout 20m $(PARALLEL) ./... | eval "$$summary"
	@# Some tests read the vendor's documents from modules that no code imports.
	(cd e2e && $(GO) mod download)
	(cd e2e && $(GO) test -v -vet=off -timeout 20m $(PARALLEL) ./... | eval "$$summary")
	(cd deploy && $(GO) test -v ./... | eval "$$summary")

# RACE_PACKAGES are those that test-race tests.
RACE_PACKAGES ?= ./...

.PHONY: test-race
test-race: deps ## Run the tests with the race detector (needs a C compiler)
	@# The server's own tests take it long: -short runs them on PostgreSQL alone.
	CGO_ENABLED=1 $(GO) test -v -vet=off -short -timeout 20m $(RACE) $(RACE_PACKAGES) | eval "$$summary"

.PHONY: test-terraform
test-terraform: ## Run Terraform's official provider against Weir
	(cd e2e && WEIR_REQUIRE_TERRAFORM=$(if $(OPTIONAL),,1) $(GO) test -v -timeout 20m ./terraform/... | eval "$$summary")

.PHONY: test-cli
test-cli: ## Run the vendor's CLI against Weir
	(cd e2e && WEIR_REQUIRE_CLI=$(if $(OPTIONAL),,1) $(GO) test -v -timeout 20m ./cli/... | eval "$$summary")

# Each drill takes less than five minutes.
DRILL := $(GO) test -v -timeout 5m ./internal/server

.PHONY: drill
drill: deps ## Run the long drills: kills, cuts, full disks (Linux; as root, since it mounts small disks)
	$(DRILL) -run '^TestKill$$/^UnderLoad$$/^SQLite$$' -kill-rounds 200 | eval "$$summary"
	$(DRILL) -run '^TestKill$$/^UnderLoad$$/^PostgreSQL$$' -kill-rounds 200 | eval "$$summary"
	$(DRILL) -run '^TestCut$$' -cut-images 150 | eval "$$summary"
	$(DRILL) -run '^TestReplicasAreKilled$$' -replica-time 3m | eval "$$summary"
	$(DRILL) -tags drill -run '^TestDrill' | eval "$$summary"

# BENCH are flags of the benchmark, such as BENCH='-parts sqlite -work create'.
BENCH ?=

.PHONY: bench
bench: build deps bin/pocketbase bin/prism ## Measure Weir beside others, for docs/performance.md; BENCH are flags for a part of it
	@# The benchmark says loudly when Prism could not be installed.
	(cd bench && $(GO) run . -weir ../bin/weir -pocketbase ../bin/pocketbase \
		-prism "$$(ls ../bin/prism/node_modules/.bin/prism 2>/dev/null || true)" $(BENCH))

.PHONY: bench-smoke
bench-smoke: build ## Show that 'make bench' works; its figures mean nothing
	@# Building PocketBase and installing Prism take minutes.
	(cd bench && $(GO) test ./... && $(GO) run . -weir ../bin/weir -smoke $(BENCH))

PRISM_VERSION := 5.16.0

bin/prism:
	@mkdir -p bin/prism
	if command -v npm >/dev/null; then
		npm install --silent --no-audit --no-fund --ignore-scripts --prefix bin/prism @stoplight/prism-cli@$(PRISM_VERSION) || rm -rf bin/prism
	else
		rmdir bin/prism
	fi

bin/pocketbase: $(wildcard bench/pocketbase/*.go) bench/pocketbase/go.mod bench/pocketbase/go.sum
	(cd bench/pocketbase && $(GO) build -o ../../bin/pocketbase .)

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@for package in $$($(GO) list ./...); do
		for target in $$($(GO) test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do
			echo "== $$package $$target"
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"
		done
	done

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters and check that go.mod is tidy
	$(GOLANGCI_LINT) run ./...
	(cd e2e && ../$(GOLANGCI_LINT) run --config ../.golangci.yml ./...)
	(cd bench && ../$(GOLANGCI_LINT) run --config ../.golangci.yml ./...)
	$(GO) mod tidy -diff
	(cd e2e && $(GO) mod tidy -diff)
	(cd deploy && $(GO) mod tidy -diff)
	(cd bench && $(GO) mod tidy -diff)

$(GOLANGCI_LINT):
	@mkdir -p bin/install
	GOBIN=$(CURDIR)/bin/install $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv bin/install/golangci-lint $@
	rmdir bin/install

# VULNDB is another database than vuln.go.dev, such as file:///srv/vulndb.
VULNDB ?= https://vuln.go.dev

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in what the program calls
	@# Building it takes longer than to see that there is nothing to ask.
	if [[ "$(VULNDB)" == https://* ]] && command -v curl >/dev/null && ! curl -sSfL -m 20 -o /dev/null "$(VULNDB)/index/db.json"; then
		echo "NOT CHECKED FOR VULNERABILITIES: $(VULNDB) cannot be reached from here. Name a copy with VULNDB."
		exit 0
	fi
	status=0
	out=$$($(GO) run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) -db $(VULNDB) ./cmd/... 2>&1) || status=$$?
	echo "$$out"
	if [ "$$status" -ne 0 ] && grep -qE 'fetching vulnerabilities|no such host|dial tcp|connection refused|i/o timeout' <<<"$$out"; then
		echo "NOT CHECKED FOR VULNERABILITIES: $(VULNDB) cannot be reached from here. Name a copy with VULNDB."
		exit 0
	fi
	exit "$$status"

.PHONY: format
format: $(GOLANGCI_LINT) ## Format the code
	$(GOLANGCI_LINT) fmt ./...

.PHONY: clean
clean: ## Remove what make built
	rm -rf bin

.ONESHELL:
