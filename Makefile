# Made for a plain Debian machine with Go and git: what else a target needs, it installs or builds by itself.

SHELL         := /bin/bash
.SHELLFLAGS   := -eu -o pipefail -c
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BIN           := $(CURDIR)/.cache/bin
FUZZTIME      ?= 30s
MANY          := ^(TestHistories|TestJudge|TestNoFault.*|TestEveryValueReplaced|TestNoRole.*|TestManyAppsCost.*|TestNamesOf.*|TestWorkFor.*)$$

.PHONY: test soak lint width fmt fuzz bench deps

# All tests with the race detector, also those against real servers and foreign clients, none of which is skipped here.
# Tests that go through many cases take a few of them with the race detector, and all of them without it.
test: deps
	go test -race -timeout 20m ./...
	go test -timeout 20m -run '$(MANY)' -v ./tufupdate | grep -v '^ *=== \|^ *--- PASS'
	cd integration && TUF_TEST_REQUIRE=1 go test -race -timeout 20m ./...

# The long versions of what proves the promises (docs/reliability.md), which take half an hour or more, and print their figures.
soak: deps
	TUF_TEST_SOAK=1 go test -race -v -timeout 3h ./tufupdate ./internal/refserver | grep -v '^ *=== \|^ *--- PASS'
	go test -timeout 3h -run '^TestJudge$$' -v ./tufupdate -histories 1000000 -lasting 1h -seed $$(date +%s) | grep -v '^ *=== \|^ *--- PASS'
	TUF_TEST_SOAK=1 go test -timeout 3h -run '^(TestNoRole.*|TestManyAppsCost.*)$$' -v ./tufupdate -apps 500000 | grep -v '^ *=== \|^ *--- PASS'
	go test -timeout 3h -run '^TestRulesAreNoticed$$' -v ./tufupdate -mutants | grep -v '^ *=== '
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

# The race detector needs a C compiler, foreign clients need Node, and tests of tasks and settings the
# servers that they start. Only what is missing is installed: Node may come from elsewhere.
deps:
	@missing=; need() { command -v "$$1" >/dev/null || missing+=" $$2"; }; \
	need gcc 'gcc libc6-dev'; need npm 'nodejs npm'; need redis-server redis-server; need redis-cli redis-tools; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=' postgresql'; \
	if [[ -n $$missing ]]; then \
		root=; [[ $$(id -u) == 0 ]] || root=$$(command -v sudo) || \
			{ echo "missing Debian packages:$$missing (install them, or run this as root)" >&2; exit 1; }; \
		$$root apt-get update -q; \
		$$root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	fi
