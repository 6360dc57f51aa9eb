# Made for a plain Debian machine with Go and git: what else a target needs, it installs or builds by itself.

SHELL         := /bin/bash
.SHELLFLAGS   := -eu -o pipefail -c
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BIN           := $(CURDIR)/.cache/bin
FUZZTIME      ?= 30s

.PHONY: test soak lint width fmt fuzz bench deps

# All tests with the race detector, also those against real servers and foreign clients, none of which is skipped here.
test: deps
	go test -race ./...
	cd integration && TUF_TEST_REQUIRE=1 go test -race -timeout 20m ./...

# The long versions of what proves the promises (docs/reliability.md), which take half an hour or more, and print their figures.
soak: deps
	TUF_TEST_SOAK=1 go test -race -v -timeout 3h ./tufupdate ./internal/refserver | grep -v '^ *=== \|^ *--- PASS'
	cd integration && TUF_TEST_SOAK=1 TUF_TEST_REQUIRE=1 go test -race -v -timeout 3h ./... | grep -v '^ *=== \|^ *--- PASS'
	$(MAKE) fuzz FUZZTIME=5m

# The linters of .golangci.yml, which hold the import arrows too, on both modules.
lint: width
	GOBIN=$(BIN) go install $(GOLANGCI_LINT)
	$(BIN)/golangci-lint run ./...
	cd integration && $(BIN)/golangci-lint run ./...

# Comments and Markdown wrap at 100 columns, a tab counting four; lll holds code to 120. Tables, code
# and what has no space to break at are left alone.
width:
	@git ls-files '*.go' '*.md' | grep -v testdata/ | xargs awk '\
		FNR == 1 { code = 0 } \
		/^ *```/ { code = !code } \
		{ line = $$0; gsub(/\t/, "    ", line); gsub(/[\200-\277]/, "", line) } \
		length(line) <= 100 { next } \
		FILENAME ~ /\.go$$/ && $$0 !~ /^\t*\/\/ [^\t]/ { next } \
		FILENAME ~ /\.md$$/ && (code || /^(    |\||#)/) { next } \
		/ .* / { print FILENAME ":" FNR ": wider than 100 columns"; bad = 1 } \
		END { exit bad }'

fmt:
	gofmt -w .

# Each fuzz target for FUZZTIME, one after the other.
fuzz:
	@set -e; for package in $$(go list ./...); do \
		listed=$$(go test -list '^Fuzz' $$package); \
		for target in $$(echo "$$listed" | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 50x $$package; \
		done; \
	done

bench:
	go test -run '^$$' -bench . -benchmem -timeout 2h ./tufupdate ./internal/tufmeta

# The race detector needs a C compiler, the foreign clients Node, and tests of tasks and settings the servers that they start.
deps:
	@if ! { command -v gcc && command -v npm && command -v redis-server && command -v redis-cli && ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1; then \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -q && apt-get install -qy --no-install-recommends gcc libc6-dev nodejs npm postgresql redis-server redis-tools; \
	fi
