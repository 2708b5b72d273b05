# The two commands of the README are `make demo` and `make test`.

export CGO_ENABLED := 0
# Tests too, so that they share what is compiled with the binary.
export GOFLAGS := $(GOFLAGS) -trimpath
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X brainjar/internal/cli.Version=$(VERSION)
GOBUILD := go build -ldflags '$(LDFLAGS)'
SCRIPTS := $(filter-out lab/README.md lab/demo.toml lab/faults,$(wildcard lab/*)) \
	packaging/deb $(filter-out %.lintian %/copyright,$(wildcard packaging/debian/*)) .ci/run .ci/vulncheck

# Tests that take long in simulated time, and need no systemd: test-unit has run them.
SIMULATED := TestNumbersAreGivenOnce|TestDeathAtEveryWrite|TestNothingGrows|TestPlaceIsKept|TestPlaceOutlivesALostStart
# Those that keep systemd busy, to see what comes late then: in an emulated machine all is late.
BUSY := TestFoundQueued|TestStoppedBeforeItBegan
# Those that want a real systemd.
REAL = $(shell grep -hoE '^func Test[A-Z][A-Za-z0-9]*' $(wildcard */*_lab_test.go */*/*_lab_test.go) | cut -c6- | grep -vx TestMain | paste -sd '|')

.PHONY: build demo test test-unit test-lab test-long test-python test-vm test-faults test-power test-arm64 bench lint dist deb test-deb clean

build: ## the binary, for this machine
	$(GOBUILD) -o brainjar .

dist: ## static binaries for both architectures, checked
	lab/install file
	lab/dist '$(LDFLAGS)'

deb: ## Debian packages in dist/, for amd64 and arm64
	packaging/deb dist

test-deb: ## the packages: same bytes twice, lintian, and their life in namespaces, or in the virtual machines of SUITES="bullseye ..."
	lab/install lintian apt dpkg python3
	$(if $(SUITES),lab/install-vm)
	lab/deb.test $(SUITES)

demo: build ## the main job, on real systemd
	lab/real lab/demo ./brainjar

test: test-unit test-lab test-python ## everything that this machine can run in minutes

test-unit:
	go vet -tags lab ./...
	go test ./...

test-lab: ## the suites on real systemd
	lab/install shellcheck
	shellcheck -x $(SCRIPTS)
	lab/suite-build dist/lab
	lab/test dist/lab -test.skip 'TestLong|$(SIMULATED)'

test-long: ## what test-lab leaves out for its length: a thousand runs, heat, floods, hundreds at once
	lab/install
	lab/suite-build dist/lab
	lab/test dist/lab -test.run TestLong -test.v

test-python: ## the Python package: alone, and against a real brainjar
	lab/install python3
	cd python && python3 -W error -m unittest discover -t . -s tests
	lab/python.test

VM = dist/vm-$(or $(firstword $(SUITES)),bookworm)
test-vm: ## what wants a real systemd, in virtual machines with cgroup v2, of SUITES (bookworm) and ARCH (slow), or of these what RUN matches and SKIP does not, but for those that want a fast machine
	lab/install-vm $(ARCH)
	GOARCH=$(or $(ARCH),amd64) lab/suite-build $(VM)
	for suite in $(or $(SUITES),bookworm); do \
		lab/vm --arch $(or $(ARCH),amd64) --suite $$suite --mem 3072 --timeout 2700 --add $(VM):/lab/suite --add lab/suite:/lab/run-suite -- \
			/lab/run-suite /lab/suite -test.run '$(or $(RUN),$(REAL))' -test.skip 'TestLong|TestShipped|$(SIMULATED)|$(BUSY)$(if $(SKIP),|$(SKIP))' || exit; \
	done

test-faults: ## a random walk of faults: BRAINJAR_FAULTS seconds, or BRAINJAR_KILLS kills
	lab/install
	lab/suite-build dist/faults lab/faults
	BRAINJAR_FAULTS=$${BRAINJAR_FAULTS:-600} lab/ns lab/suite dist/faults -test.v

test-power: ## virtual machines whose clock is set, whose power is cut (slow)
	lab/install-vm
	lab/clock.test
	lab/power.test $(CUTS)

test-arm64: ## the unit tests for arm64, under qemu-user
	lab/install qemu-user-static
	GOARCH=arm64 go vet ./...
	@echo "SKIPPED under emulation: what members of groups may do on the control socket, for qemu-user does not tell of a peer's groups; and what takes long in simulated time"
	BRAINJAR_EMULATOR=qemu-aarch64-static GOARCH=arm64 go test -exec qemu-aarch64-static -skip '$(SIMULATED)' ./...

bench: ## cost per experiment, as a ratio to the bare D-Bus calls
	lab/install
	lab/suite-build dist/lab
	lab/ns lab/bench dist/lab

lint:
	golangci-lint run

clean:
	rm -rf brainjar dist
