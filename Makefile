# make help lists the targets.
GO          ?= go
PKGS        ?= ./...
TEST_FLAGS  ?=
# For one package: Go's ten minutes are too short for those that compile leat, on a machine with much else to do.
TEST_TIME   ?= 40m
FUZZ_TIME   ?= 10s
BENCH_TIME  ?= 1s
BENCH       ?= .
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -s -w -X github.com/leatdev/leat/cmd.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz bench fmt generate clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build a static, stripped bin/leat
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/leat ./cmd/leat

test: ## check the format, vet, and run all tests
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet $(PKGS)
	$(GO) test -timeout $(TEST_TIME) $(TEST_FLAGS) $(PKGS)

race: ## run all tests with the race detector
	$(GO) test -race -timeout $(TEST_TIME) $(TEST_FLAGS) $(PKGS)

lint: ## run golangci-lint
	@command -v golangci-lint >/dev/null || { \
		echo "golangci-lint is not installed:"; \
		echo "  go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0"; exit 1; }
	golangci-lint run

fuzz: ## fuzz each target for FUZZ_TIME (10s)
	@set -e; $(GO) list -f '{{$$dir := .Dir}}{{range .TestGoFiles}}{{$$dir}}/{{.}} {{end}}{{range .XTestGoFiles}}{{$$dir}}/{{.}} {{end}}' $(PKGS) \
	| tr ' ' '\n' | xargs -r grep -Ho '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/' \
	| while IFS=: read -r file target; do \
		echo "== $$target ($$(dirname "$$file"))"; \
		$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZ_TIME) "$$(dirname "$$file")"; \
	done

bench: ## run the benchmarks, BENCH_TIME (1s) each; BENCH selects
	$(GO) test -p 1 -run '^$$' -bench '$(BENCH)' -benchtime $(BENCH_TIME) -benchmem $(PKGS)

fmt: ## format all Go files
	gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')

generate: ## write docs/reference/ and docs/leat.schema.json anew
	$(GO) test ./cmd/leat -run Generated -update

clean: ## remove what was built
	rm -rf bin
