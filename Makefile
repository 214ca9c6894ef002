# Needs Go and make; git adds the version. Tests install what they need beyond that where they can (scripts/test-deps).

GO          ?= go
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME    ?= 1m
SHORTFUZZ   ?= 50000x
SOAK        ?= 10m
OUT         ?= out/bench

VERSION := $(or $(shell git describe --tags --always --dirty 2>/dev/null),devel)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
DATE    := $(shell git log -1 --format=%cI 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'

.DEFAULT_GOAL := help

.PHONY: help
help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: host ## build bin/weir and run the demo
	./bin/weir demo

.PHONY: host
host: ## build bin/weir alone
	$(BUILD) -o bin/weir ./cmd/weir

.PHONY: build
build: host ## build bin/weir, and static binaries for Linux on amd64 and arm64 in dist/
	GOOS=linux GOARCH=amd64 $(BUILD) -o dist/weir-linux-amd64 ./cmd/weir
	GOOS=linux GOARCH=arm64 $(BUILD) -o dist/weir-linux-arm64 ./cmd/weir

.PHONY: test
test: deps lint unit race fuzz-short ## all that a change has to pass

.PHONY: deps
deps: ## install what tests need, on Debian as root; elsewhere say what is missing
	scripts/test-deps

.PHONY: unit
unit: ## run the tests
	$(GO) test ./...

.PHONY: race
race: ## run the tests under the race detector
	$(GO) test -race ./...

.PHONY: soak
soak: ## break endpoints at random, under load, for SOAK (10m): what the tests do for seconds
	WEIR_SOAK=$(SOAK) $(GO) test -count=1 -timeout 0 -v -run '^TestChaos$$' ./cmd/weir/e2e

.PHONY: test-arm64
test-arm64: ## run the tests as arm64 programs, under QEMU
	scripts/test-arm64

.PHONY: microbench
microbench: ## compare the microbenchmarks with those of REV (the newest tag): make microbench REV=HEAD~3 BENCH='-bench Turn'
	scripts/microbench $(REV) $(BENCH)

.PHONY: bench
bench: ## measure weir against its peers, five rounds of everything, into OUT (out/bench): an hour
	-scripts/bench-peers
	$(GO) run ./bench/run -out $(OUT)

.PHONY: bench-quick
bench-quick: ## one round of everything with little work, into OUT: minutes
	$(GO) run ./bench/run -quick -out $(OUT)

.PHONY: bench-compare
bench-compare: ## say what changed between two runs beyond noise: make bench-compare OLD=bench/results NEW=out/bench
	$(GO) run ./bench/compare $(OLD) $(NEW)

.PHONY: lint
lint: fmt-check ## gofmt, go vet (for arm64 too), staticcheck, golangci-lint
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	$(STATICCHECK) ./...
	$(GOLANGCI) run

.PHONY: fmt
fmt: ## format the code
	gofmt -w $$($(GO) list -f '{{.Dir}}' ./...)

.PHONY: fmt-check
fmt-check:
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "not formatted (make fmt):"; echo "$$bad"; exit 1; fi

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (1m)
	scripts/fuzz $(FUZZTIME)

.PHONY: fuzz-short
fuzz-short: ## run the fuzz targets of what strangers write for SHORTFUZZ (50,000 inputs)
	scripts/fuzz $(SHORTFUZZ) ./config ./eventloop ./l4/access ./l4/flow ./l4/probe ./l4/quic ./lb/health ./lb/outlier ./cmd/weir/internal/resolve

.PHONY: clean
clean: ## remove what make has built
	rm -rf bin/weir dist
