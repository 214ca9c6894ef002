# Needs Go and make; git adds the version. Tests install what they need beyond that where they can (scripts/test-deps).

GO          ?= go
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME    ?= 1m

VERSION := $(or $(shell git describe --tags --always --dirty 2>/dev/null),devel)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
DATE    := $(shell git log -1 --format=%cI 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'

.DEFAULT_GOAL := help

.PHONY: help
help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: host
host: ## build bin/weir alone
	$(BUILD) -o bin/weir ./cmd/weir

.PHONY: build
build: host ## build bin/weir, and static binaries for Linux on amd64 and arm64 in dist/
	GOOS=linux GOARCH=amd64 $(BUILD) -o dist/weir-linux-amd64 ./cmd/weir
	GOOS=linux GOARCH=arm64 $(BUILD) -o dist/weir-linux-arm64 ./cmd/weir

.PHONY: clean
clean: ## remove what make has built
	rm -rf bin/weir dist
