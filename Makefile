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

.PHONY: help test test-registry test-airflow fuzz attack bench screenshots lint lint-mod lint-gofumpt lint-vet lint-staticcheck lint-caddyfile \
	lint-licenses lint-sbom build licenses sbom reproducible bench-go figures needs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# All is compiled first (go list -export does that without linking), so that a cold build of Caddy, minutes long, is not
# on the clock of a test that needs a Caddy. The client of registries, which a test runs, is a module of its own.
CLIENT  := integration/registryclient
compile  = go list -export $(1) >/dev/null && go -C $(CLIENT) list -export . >/dev/null

# Modules of their own that are checked as this one is.
MODULES := $(CLIENT)

# Which binary make sbom is about, and where its SBOM goes.
BINARY ?= bin/caddy
SBOM   := bin/sbom.cdx.json

# What a binary is made of is told by a program in the tools' module.
linked = GOFLAGS='$(FLAGS)' go -C tools build -o ../bin/linked ./linked && bin/linked $(1)

# -count=1, because some tests run the go command and what it built, of which go test's cache of results knows nothing.
# Without a PKG the tests of the modules of their own are among them.
test: needs ## run all tests with the race detector; installs what they need when missing (apt-get)
	$(call compile,$(PKG))
	go test -count=1 -timeout 30m $(ARGS) $(PKG)
	$(if $(filter file,$(origin PKG)),for module in $(MODULES); do go -C $$module test -count=1 ./... || exit; done)
	$(if $(filter file,$(origin PKG)),GOFLAGS='$(FLAGS)' go -C tools test -count=1 ./...)

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

# Tests run what the targets have for seeds; this goes on from there. With the flags of the tests, because what they have
# compiled is used again.
FUZZTIME ?= 20s

fuzz: ## run every fuzz target for FUZZTIME (20s); what it can be told besides is in tools/fuzz
	FUZZTIME='$(FUZZTIME)' tools/fuzz

attack: needs ## fuzz for half an hour, then what measures: all of docs/security.md that is slow, in less than an hour
	tools/attack

# The console's pages as its documentation shows them.
screenshots: needs ## make the screenshots of the console in docs/images
	DEPLOYMENT_KEYS_SCREENSHOTS=$(CURDIR)/docs/images go test -count=1 -timeout 10m $(ARGS) -run '^TestScreenshots$$' ./integration/console

lint: lint-mod lint-gofumpt lint-vet lint-staticcheck lint-caddyfile lint-licenses lint-sbom ## check modules, licenses, formatting, and the code by vet and staticcheck

lint-mod:
	for module in . $(MODULES) tools; do go -C $$module mod verify && go -C $$module mod tidy -diff || exit; done

lint-gofumpt:
	@echo gofumpt -l .; files=$$($(call tool,gofumpt) -l .) || exit; \
	if [ -n "$$files" ]; then echo "not formatted by gofumpt:" >&2; echo "$$files" >&2; exit 1; fi

lint-vet:
	go vet ./...
	for module in $(MODULES); do go -C $$module vet ./... || exit; done
	GOFLAGS='$(FLAGS)' go -C tools vet ./...

lint-staticcheck:
	@echo staticcheck ./...; staticcheck="$(call tool,staticcheck)" || exit; \
	for module in . $(MODULES); do (cd $$module && "$$staticcheck" ./...) || exit; done; \
	cd tools && GOFLAGS='$(FLAGS)' "$$staticcheck" ./...

lint-caddyfile: build
	@echo caddy fmt; find . -type f \( -name 'Caddyfile*' -o -name '*.caddyfile' \) -not -path './.git/*' | sort | { bad=0; \
	while read -r file; do \
		diff=$$(bin/caddy fmt --diff "$$file" 2>&1) || { bad=1; echo "$$file is not formatted by caddy fmt:"; echo "$$diff" | grep -v '^  '; } >&2; \
	done; exit $$bad; }

lint-licenses:
	@echo docs/licenses.md; mkdir -p bin; $(call linked,licenses) >bin/licenses.md || exit; \
	diff docs/licenses.md bin/licenses.md || { echo "docs/licenses.md is not what is linked: run make licenses" >&2; exit 1; }

# The go command names the modules that it has put into the binary; those and no others are to be in the SBOM.
lint-sbom: needs sbom
	@modules=$$(go version -m $(BINARY) | awk '$$1 == "dep" {print $$2, $$3}' | LC_ALL=C sort) && \
	named=$$(jq -r '.components[] | select(.name != "std") | "\(.name) \(.version)"' $(SBOM) | LC_ALL=C sort) && \
	if [ -z "$$modules" ] || [ "$$modules" != "$$named" ]; then echo "$(SBOM) does not name the modules of $(BINARY)" >&2; exit 1; fi

build: ## build bin/caddy, with the race detector, as the tests do
	go build -o bin/caddy ./cmd/caddy

licenses: ## write docs/licenses.md: what the binary links, and under which licenses
	mkdir -p bin
	$(call linked,licenses) >bin/licenses.md
	cp bin/licenses.md docs/licenses.md

sbom: $(if $(filter bin/caddy,$(BINARY)),build) ## write bin/sbom.cdx.json, the SBOM of bin/caddy, or of another that was built here: make sbom BINARY=./caddy
	mkdir -p bin
	$(call linked,sbom $(BINARY)) >$(SBOM).new
	mv $(SBOM).new $(SBOM)

reproducible: ## build what users run twice, in different places, and compare the bytes; takes some minutes
	tools/reproducible

# What is measured is what users run, so these targets are built without -race.
bench bench-go: GOFLAGS := $(FLAGS)

bench: ## measure what authorization costs, in 5 minutes, and write docs/benchmarks.md; nothing else should run
	go run ./bench -write docs/benchmarks.md

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
