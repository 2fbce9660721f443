# Builds, tests and checks the gateway. `make` alone lists what there is.

# One set of build flags for tests, vet, staticcheck and the Caddy that lint runs: another set compiles Caddy once more,
# which takes minutes. -buildvcs=false: what is built here is for use here, and a checkout of another owner fails on it.
FLAGS := $(strip $(filter-out -race -buildvcs=false,$(shell go env GOFLAGS)) -buildvcs=false)
export GOFLAGS := $(FLAGS) -race

# What to test, and more arguments for go test: make test PKG=./token ARGS='-run Verify -v'. The tests with real Airflows
# are in a package of their own, which make test leaves out.
PKG  ?= $(shell go list ./... | grep -v /integration/airflow$$)
ARGS ?=

# The tools are built without -race, which would make them many times slower; they load packages with the flags above.
tool = $$(GOFLAGS='$(FLAGS)' go tool -modfile=tools/go.mod -n $(1))

.PHONY: help test test-registry test-airflow screenshots lint lint-mod lint-gofumpt lint-vet lint-staticcheck lint-caddyfile build bench-go figures needs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# All is compiled first (go list -export does that without linking), so that a cold build of Caddy, minutes long, is not
# on the clock of a test that needs a Caddy. The client of registries, which a test runs, is a module of its own.
CLIENT  := integration/registryclient
compile  = go list -export $(1) >/dev/null && go -C $(CLIENT) list -export . >/dev/null

# -count=1, because some tests run the go command and what it built, of which go test's cache of results knows nothing.
test: needs ## run all tests with the race detector; installs what they need when missing (apt-get)
	$(call compile,$(PKG))
	go test -count=1 -timeout 20m $(ARGS) $(PKG)

test-registry: needs ## run the tests with a real registry, the deploy API and the calls of the Astro CLI; a part of make test
	$(call compile,./integration ./examples/...)
	go test -count=1 -timeout 10m $(ARGS) ./examples/deploy-api
	go test -count=1 -timeout 10m $(ARGS) -run 'Registry|DeployAPI|AstroCLI' ./integration

# The first time this installs two Airflows into the user's cache, which takes some minutes and needs the network.
test-airflow: needs ## run the tests with real Airflows; installs Python and Airflow when missing (apt-get, pip)
	tools/install-needs airflow
	tools/airflow-venv examples/airflow/requirements.txt
	tools/airflow-venv examples/airflow/requirements-airflow2.txt
	go list -export ./integration/airflow ./examples/deploy-api ./cmd/caddy >/dev/null
	go test -count=1 -timeout 30m $(ARGS) ./integration/airflow

# The console's pages as its documentation shows them.
screenshots: needs ## make the screenshots of the console in docs/images
	DEPLOYMENT_KEYS_SCREENSHOTS=$(CURDIR)/docs/images go test -count=1 -timeout 10m $(ARGS) -run '^TestScreenshots$$' ./integration/console

lint: lint-mod lint-gofumpt lint-vet lint-staticcheck lint-caddyfile ## check modules, formatting, and the code by vet and staticcheck

lint-mod:
	go mod verify
	go mod tidy -diff
	go -C $(CLIENT) mod verify
	go -C $(CLIENT) mod tidy -diff

lint-gofumpt:
	@echo gofumpt -l .; files=$$($(call tool,gofumpt) -l .) || exit; \
	if [ -n "$$files" ]; then echo "not formatted by gofumpt:" >&2; echo "$$files" >&2; exit 1; fi

lint-vet:
	go vet ./...
	go -C $(CLIENT) vet ./...

lint-staticcheck:
	@echo staticcheck ./...; staticcheck="$(call tool,staticcheck)" && "$$staticcheck" ./... && cd $(CLIENT) && "$$staticcheck" ./...

lint-caddyfile: build
	@echo caddy fmt; find . -type f \( -name 'Caddyfile*' -o -name '*.caddyfile' \) -not -path './.git/*' | sort | { bad=0; \
	while read -r file; do \
		diff=$$(bin/caddy fmt --diff "$$file" 2>&1) || { bad=1; echo "$$file is not formatted by caddy fmt:"; echo "$$diff" | grep -v '^  '; } >&2; \
	done; exit $$bad; }

build: ## build bin/caddy, with the race detector, as the tests do
	go build -o bin/caddy ./cmd/caddy

# Benchmarks measure what users run, so this is the one target that is built without -race.
bench-go: GOFLAGS := $(FLAGS)
bench-go: ## run the Go benchmarks
	go test -run '^$$' -bench . -benchmem ./keystore/... ./token ./caddymodule

figures: needs ## print the figures of docs/operations.md; takes half an hour
	DEPLOYMENT_KEYS_LONG=1 go test -count=1 -timeout 60m -v ./integration \
		-run 'OnOtherNodes|Failover|KilledGateway|MissedChanges|AskRedisNothing|ManyKeys|Bounded|BlockedLink|KilledDurable|LeaveNothing|Rotation' \
		| grep -E 'figure:|^(ok|FAIL|---)'

needs: ## install the programs that the tests run, those that are missing
	@tools/install-needs

clean: ## remove what make built
	rm -rf bin
