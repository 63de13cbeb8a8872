# Everything here needs Go and a C compiler (for the race detector), and takes
# what else it uses from the Go module proxy, pinned in internal/tools/go.mod.
#
#   make check        what every change must pass: fmt vet lint test
#   make race         the tests with the race detector
#   make fuzz         every fuzz target for FUZZTIME
#   make cross        build and vet for the other systems
#   make conformance  the wire-level cases against both transports
#   make suite        net/http's own server tests against both transports
#   make bench        the packages' benchmarks, once each
#   make cover        test coverage of the packages by all tests together
#   make deps         what the module depends on, and known vulnerabilities

GO         ?= go
FUZZTIME   ?= 10s
BENCHTIME  ?= 100ms
TRANSPORTS ?= portable ring
CROSS      ?= darwin/arm64 windows/amd64 freebsd/amd64 linux/arm64

# The main module and those nested in it that hold Go code.
MODULES := . $(patsubst %/go.mod,%,$(filter-out ./go.mod internal/tools/go.mod,$(shell git ls-files '*/go.mod')))

STATICCHECK := $(CURDIR)/.bin/staticcheck

.PHONY: check fmt vet lint test test-nested race fuzz cross cross-all conformance suite bench cover deps

check: fmt vet lint test test-nested

# gofmt prints the files it would change; there must be none.
fmt:
	@files=$$(gofmt -l $$(git ls-files '*.go')) || exit 1; \
	if [ -n "$$files" ]; then printf 'gofmt would change:\n%s\n' "$$files"; exit 1; fi; \
	echo "gofmt: $$(git ls-files '*.go' | wc -l) files, none to change"

vet:
	@set -e; for m in $(MODULES); do echo "go vet $$m"; (cd $$m && $(GO) vet ./...); done

lint: $(STATICCHECK)
	@set -e; for m in $(MODULES); do echo "staticcheck $$m"; (cd $$m && $(STATICCHECK) ./...); done

$(STATICCHECK): internal/tools/go.mod
	$(GO) -C internal/tools build -o $@ honnef.co/go/tools/cmd/staticcheck
	@touch $@

test:
	$(GO) test -shuffle=on ./...

# What runs under other people's modules: routers and middlewares, the benchmark
# program, the oracle for the ring (giouring links only with that flag).
test-nested:
	@set -e; for m in $(filter-out .,$(MODULES)); do echo "go test $$m"; \
	case $$m in */oracle) flags=-ldflags=-checklinkname=0;; *) flags=;; esac; \
	(cd $$m && $(GO) test $$flags ./...); done

race:
	$(GO) test -race -shuffle=on ./...

# go test runs one fuzz target at a time. Targets are found by name, so that a
# new one needs no entry here.
fuzz:
	@set -e; n=0; for f in $$(git grep -l '^func Fuzz' -- '*_test.go'); do \
	dir=$$(dirname $$f); \
	for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$f); do \
	echo "fuzz ./$$dir $$target"; \
	$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$dir; n=$$((n+1)); \
	done; done; \
	if [ $$n -eq 0 ]; then echo 'found no fuzz target'; exit 1; fi

cross:
	@set -e; for t in $(CROSS); do echo "build and vet for $$t"; \
	GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 $(GO) build ./...; \
	GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 $(GO) vet ./...; done; \
	echo "build, vet and test with -tags noring"; $(GO) build -tags noring ./...; $(GO) vet -tags noring ./...; \
	$(GO) test -tags noring . ./ring

# The embedding package for one processor of every system that Go knows.
cross-all:
	@set -e; for t in $$($(GO) tool dist list | sort -t/ -k1,1 -u); do echo "build ./portable for $$t"; \
	GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 $(GO) build ./portable; done

conformance:
	@for t in $(TRANSPORTS); do TRANSPORT=$$t .ci/conformance || exit 1; done

suite:
	@for t in $(TRANSPORTS); do .ci/suite $$t || exit 1; done

bench:
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) ./...

cover:
	$(GO) test -coverpkg ./... -coverprofile .bin/cover.out ./...
	$(GO) tool cover -func .bin/cover.out | tail -1

deps:
	$(GO) list -m all
	$(GO) mod verify
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...
