# Builds, tests and checks the gateway. `make` alone lists what there is.

# One set of build flags for tests, vet, staticcheck and the Caddy that lint runs: another set compiles Caddy once more,
# which takes minutes. -buildvcs=false: what is built here is for use here, and a checkout of another owner fails on it.
export GOFLAGS := $(strip $(filter-out -race -buildvcs=false,$(shell go env GOFLAGS)) -buildvcs=false)

# What to test, and more arguments for go test: make test PKG=./token ARGS='-run Verify -v'. The tests with real Airflows
# are in a package of their own, which make test leaves out.
PKG  ?= $(shell go list ./... | grep -v /integration/airflow$$)
ARGS ?=

tool = $$(go tool -modfile=tools/go.mod -n $(1))

.PHONY: help test test-registry test-airflow fuzz attack bench screenshots lint lint-mod lint-gofumpt lint-vet lint-staticcheck lint-caddyfile \
	lint-licenses lint-sbom build licenses sbom reproducible bench-go figures needs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Which binary make sbom is about, and where its SBOM goes.
BINARY ?= bin/caddy
SBOM   := bin/sbom.cdx.json

# Which licenses modules may be under, and the modules that may be under another one, for which docs/licenses.md says why.
LICENSES   := Apache-2.0,BSD-2-Clause,BSD-2-Clause-Views,BSD-3-Clause,CC0-1.0,MIT
EXCEPTIONS := github.com/alecthomas/chroma/v2 github.com/go-sql-driver/mysql

# go-licenses warns of each address that it cannot ask the network for, and of assembler, which has no licenses of its own:
# only its other messages are shown. The plugin's own packages have no license file beside them.
go_licenses = CGO_ENABLED=0 $(call tool,go-licenses) $(1) --ignore $$(go list -m) ./cmd/caddy 2>bin/go-licenses.log || \
	{ grep -v '^[W/]' bin/go-licenses.log >&2; exit 1; }

test: needs ## run all tests; installs what they need when missing (apt-get)
	tools/test $(PKG) -- $(ARGS)

test-registry: needs ## run the tests with a real registry, the deploy API and the calls of the Astro CLI; a part of make test
	go list -export ./integration ./examples/... >/dev/null
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
	for module in . tools; do go -C $$module mod verify && go -C $$module mod tidy -diff || exit; done

lint-gofumpt:
	@echo gofumpt -l .; files=$$($(call tool,gofumpt) -l .) || exit; \
	if [ -n "$$files" ]; then echo "not formatted by gofumpt:" >&2; echo "$$files" >&2; exit 1; fi

lint-vet:
	go vet ./...
	GOOS=windows go vet ./token ./keystore/... ./internal/...
	GOARCH=386 go vet ./token ./keystore/... ./internal/...

lint-staticcheck:
	@echo staticcheck ./...; $(call tool,staticcheck) ./...

lint-caddyfile: build
	@echo caddy fmt; find . -type f \( -name 'Caddyfile*' -o -name '*.caddyfile' \) -not -path './.git/*' | sort | { bad=0; \
	while read -r file; do \
		diff=$$(bin/caddy fmt --diff "$$file" 2>&1) || { bad=1; echo "$$file is not formatted by caddy fmt:"; echo "$$diff" | grep -v '^  '; } >&2; \
	done; exit $$bad; }

lint-licenses:
	@echo docs/licenses.md; mkdir -p bin; for system in linux darwin windows; do \
		GOOS=$$system $(call go_licenses,check --allowed_licenses $(LICENSES) $(EXCEPTIONS:%=--ignore %)); \
	done; $(call go_licenses,report --template tools/licenses.md.tmpl >bin/licenses.md); \
	diff docs/licenses.md bin/licenses.md || { echo "docs/licenses.md is not what is linked: run make licenses" >&2; exit 1; }

# The go command names the modules that it has put into the binary; those and no others are to be in the SBOM.
lint-sbom: needs sbom
	@modules=$$(go version -m $(BINARY) | awk '$$1 == "dep" {print $$2, $$3}' | LC_ALL=C sort) && \
	named=$$(jq -r '.components[] | select(.name != "std") | "\(.name) \(.version)"' $(SBOM) | LC_ALL=C sort) && \
	if [ -z "$$modules" ] || [ "$$modules" != "$$named" ]; then echo "$(SBOM) does not name the modules of $(BINARY)" >&2; exit 1; fi

build: ## build bin/caddy, as users run it
	go build -o bin/caddy ./cmd/caddy

licenses: ## write docs/licenses.md: what the binary links, and under which licenses
	mkdir -p bin
	$(call go_licenses,report --template tools/licenses.md.tmpl >bin/licenses.md)
	cp bin/licenses.md docs/licenses.md

# Neither a serial number nor a time, so that the same binary gives the same SBOM.
sbom: $(if $(filter bin/caddy,$(BINARY)),build) ## write bin/sbom.cdx.json, the SBOM of bin/caddy, or of another: make sbom BINARY=./caddy
	$(call tool,cyclonedx-gomod) bin -json -std -noserial -notimestamp -output $(SBOM) $(BINARY)

reproducible: ## build what users run twice, in different places, and compare the bytes; takes some minutes
	tools/reproducible

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
