# `make reproduce` runs the main job, `make test` runs the tests. Each sets the machine up first: Debian 12
# or later.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed
PACKAGES := btrfs-progs build-essential dmsetup e2fsprogs fuse3 libfuse3-dev liburing-dev mount pkg-config python3-dev python3-venv thin-provisioning-tools util-linux xfsprogs
ARCHITECTURE := $(shell dpkg --print-architecture 2>/dev/null)
# `thinsim vm probe` looks for these packages; the set-up by LVM needs lvm2. The busybox of a guest's initramfs must be
# static. zstd unpacks the modules of distributions that compress them.
VM_PACKAGES := busybox-static dmsetup e2fsprogs kmod linux-image-$(ARCHITECTURE) lvm2 mount \
    $(if $(filter arm%,$(ARCHITECTURE)),qemu-system-arm,qemu-system-x86) thin-provisioning-tools zstd
BENCH_PACKAGES := fio libfuse3-dev libnbd-bin nbdkit qemu-system-common qemu-utils
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
TEST_ARGUMENTS ?=
# The number of test processes; 0 runs one test after another.
WORKERS ?= 2
BENCH_ARGUMENTS ?= --json backing.json --plot backing.svg
C_SOURCES := $(wildcard fuse_backing/native/*/*.c thinsim/dm/dropin/*.c)
C_HEADERS := $(wildcard fuse_backing/native/*/*.h)

.PHONY: setup packages reproduce test test-vm storm lint format clean
.PHONY: bench-backing bench-thin bench-engine campaign-metadata campaign-crashes bench-removal setup-vm pictures check-dist record-dmsetup soak-dmsetup
.PHONY: conformance-nightly conformance-record fidelity same-counts documents-nightly
.PHONY: record-pool-life
.PHONY: proto

setup: packages $(STAMP)

# dpkg-query answers in milliseconds, so apt runs only when something is missing.
define install
	@missing=$$(for package in $(1); do \
	    dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || echo $$package; \
	done); \
	if [ -n "$$missing" ]; then \
	    $(SUDO) apt-get update -qq && \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi
endef

packages:
	$(call install,$(PACKAGES))

$(STAMP): pyproject.toml setup.py $(C_SOURCES) $(C_HEADERS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "thinsim needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# Loop devices, mounts and FUSE need root. Without root, thinsim prints a warning and replays a recording.
reproduce: setup
	$(BIN)/thinsim reproduce

# An installed containerd is used as it is, even when it comes from another package.
test: setup
	$(call install,busybox-static chromium docker-registry fio qemu-utils sqlite3)
	$(if $(shell command -v containerd),,$(call install,containerd))
	$(if $(shell command -v runc),,$(call install,runc))
	-$(BIN)/python -m tools.containerd_builds >/dev/null
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TEST_ARGUMENTS)

# Ten seconds: get the containerd of other Debian releases, for tests and for --containerd. Nothing is installed.
.PHONY: containerd-builds
containerd-builds: setup
	$(BIN)/python -m tools.containerd_builds

# Two minutes, for every edit: the tests that need no root, mount, browser, network or guest.
UNCHECKED := rig or kernel or root or browser or long or extents
.PHONY: check
check: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not ($(UNCHECKED))' $(TEST_ARGUMENTS)

# The tests that need the kernel's own device-mapper, in a guest.
test-vm: setup-vm
	$(BIN)/thinsim vm run --timeout 7200 -- env TMPDIR=/run/thinsim-scratch $(BIN)/python -m pytest \
	    -p no:cacheprovider --basetemp=/run/thinsim-scratch/pytest -m kernel \
	    tests/dm tests/machine tests/rig tests/snapshotter tests/workload tests/node tests/watch $(TEST_ARGUMENTS)

# Most of an hour: the tests that `make test` runs in a shorter form or not at all.
.PHONY: test-long
test-long: setup
	THINSIM_LONG_TESTS=1 $(BIN)/python -m pytest -m long $(TEST_ARGUMENTS)

# Two minutes: a million hole punches on a mounted store. No event may be lost. The normal tests use fewer punches.
storm: setup
	THINSIM_PUNCHES=1000000 $(BIN)/python -m pytest -v tests/fuse_backing/test_backing_storm.py

# Install a kernel with dm-thin and the tools that boot it: about 500 MB. The machine itself keeps its own kernel.
setup-vm: setup
	$(call install,$(VM_PACKAGES))
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[vm]'
	$(BIN)/thinsim vm probe

# Ten minutes: 64 processes create, snapshot, write, verify and remove devices with the drop-in dmsetup.
soak-dmsetup: setup
	THINSIM_LONG_CAMPAIGN=1 $(BIN)/python -m pytest -rP tests/dm/test_drop_in_dmsetup.py -k many_clients

# Ten minutes: record the answers of the kernel's device-mapper to every dmsetup command, in a guest without udev.
TRANSCRIPTS := tests/dm/data/dmsetup
record-dmsetup: setup-vm
	$(BIN)/thinsim vm run --share $(CURDIR)/$(TRANSCRIPTS) -- sh -c \
	    'exec $(BIN)/python tools/record_dmsetup.py --rewrite /run/thinsim-scratch $(TRANSCRIPTS)/*.txt'

# Record the answers of the kernel's dm-thin to the steps of a pool's life. By default this records the sections that
# tests/dm/data lacks or whose steps have changed. SECTIONS=REGEX selects sections by name; SECTIONS=. selects all, which
# takes half an hour and more without KVM. An interrupted recording keeps its finished sections.
SECTIONS ?=
record-pool-life: setup-vm
	$(BIN)/thinsim vm run --timeout 5400 --share $(CURDIR)/tests/dm/data -- \
	    $(BIN)/python tools/record_pool_life.py /run/thinsim-scratch tests/dm/data '$(SECTIONS)'

# An hour without KVM: run the documented commands that need a guest or much time, read from the documents, and the
# whole workflow of examples/ci.
documents-nightly: setup-vm
	THINSIM_GUESTS=1 $(BIN)/python -m pytest -v --durations=0 tests/docs/test_documented_guests.py tests/docs/test_workflow_whole.py \
	    tests/docs/test_installation.py $(TEST_ARGUMENTS)

# Hours without KVM, a quarter of an hour with NIGHTLY_SEEDS=1. Every night runs other histories. Each difference is
# shrunk and written into ./divergences.
NIGHTLY_SEEDS ?= 20
conformance-nightly: setup-vm
	first=$$(date +%Y%m%d00); status=0; \
	$(BIN)/thinsim conformance run --seeds $$first-$$((first + $(NIGHTLY_SEEDS) - 1)) --keep divergences || status=$$?; \
	$(BIN)/thinsim conformance run --seeds $$first-$$((first + ($(NIGHTLY_SEEDS) + 3) / 4 - 1)) --faults \
	    --keep divergences || status=$$?; \
	$(BIN)/thinsim conformance run --seeds $$first-$$((first + ($(NIGHTLY_SEEDS) + 3) / 4 - 1)) --requests \
	    --against emulated --keep divergences || status=$$?; \
	exit $$status

# A quarter of an hour and more without KVM: run image and container on the kernel's dm-thin in a guest and on the
# emulated one. Both must give the same numbers after every step. GUEST_KERNEL=FILE boots another kernel than the newest.
same-counts: setup-vm
	THINSIM_LONG_CAMPAIGN=1 THINSIM_GUEST_KERNEL=$(GUEST_KERNEL) \
	    $(BIN)/python -m pytest -v tests/vm/test_rigs_agree.py $(TEST_ARGUMENTS)

# Record the kernel's answers again, after the campaign's histories have changed.
conformance-record: setup-vm
	$(call install,fio qemu-utils)
	$(BIN)/thinsim conformance record

# Minutes, as root: write docs/evidence/fidelity.md, and the counts in its data, from the recorded answers.
fidelity: setup
	$(call install,fio qemu-utils)
	$(BIN)/thinsim conformance check --on engine --on emulated --fidelity docs/evidence/fidelity.md

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.plain_english
	for source in $(C_SOURCES) tests/fuse_backing/native/*.c benchmarks/native/*.c; do \
	    $(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wformat-security -Werror -fsyntax-only -Ifuse_backing/native \
	        -isystem $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))') \
	        $$(pkg-config --cflags liburing) $$source || exit 1; \
	done

# Most of an hour, as root: compare an emulated thin device with a plain loop device, and with qcow2 and NBD over FUSE.
# BENCH_ARGUMENTS=--guest adds the kernel's dm-thin in a guest, after make setup-vm.
bench-thin: BENCH_ARGUMENTS = --json thin.json --plot thin.svg
bench-thin: setup
	$(call install,$(BENCH_PACKAGES))
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks.thin $(BENCH_ARGUMENTS)

# Most of an hour, as root: measure 1 to 64 active thin devices, and one of up to 30 million mapped blocks.
.PHONY: bench-thin-growth
bench-thin-growth: BENCH_ARGUMENTS = --json thin-growth.json --plot thin-growth.svg
bench-thin-growth: setup
	$(call install,$(BENCH_PACKAGES))
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks.thin_growth $(BENCH_ARGUMENTS)

# Half an hour and 25 GB of disk, as root, on a machine without other work: compare a reclaim of 10 GiB with the
# balloon method, beside fio on the same pool, and write docs/evidence/reclaim.md.
.PHONY: bench-reclaim
bench-reclaim: setup
	$(call install,fio)
	mkdir -p build
	$(BIN)/python -m benchmarks.reclaim --json build/reclaim.json
	$(BIN)/python -m tools.reclaim_page --figures build/reclaim.json

# Write docs/evidence/data-plane.md from docs/evidence/data. MEASURE=rows, guest or growth first measures one part again,
# as root, on a machine without other work; the guest's needs make setup-vm.
.PHONY: data-plane-page
data-plane-page: setup
	$(if $(MEASURE),$(call install,$(BENCH_PACKAGES)))
	$(if $(MEASURE),$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]')
	$(BIN)/python -m tools.data_plane_page $(addprefix --measure ,$(MEASURE))

# Minutes, as root: compare the store below a loop device with a plain file and with other FUSE servers.
bench-backing: setup
	$(call install,$(BENCH_PACKAGES))
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks.backing $(BENCH_ARGUMENTS)

# Minutes, as root: compare the names of the store (create, stat, readdir, ...) with the host's and with other FUSE servers.
.PHONY: bench-names
bench-names: BENCH_ARGUMENTS = --json names.json --plot names.svg
bench-names: setup
	$(call install,g++ libfuse3-dev)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks.names $(BENCH_ARGUMENTS)

# The pictures of README.md and the documents, each from a real run: bars of a leak, and a report in a browser.
pictures: setup
	$(call install,chromium)
	$(BIN)/python tools/leak_picture.py docs/pictures
	$(BIN)/python tools/report_pictures.py docs/pictures

# A minute: build wheel and sdist, install each without this clone, and use it.
check-dist: packages
	$(PYTHON) -m venv build/package
	build/package/bin/pip install --quiet --disable-pip-version-check build
	build/package/bin/python -m build --outdir build/dist
	for kind in whl tar.gz; do \
	    rm -rf build/installed && $(PYTHON) -m venv build/installed && \
	    build/installed/bin/pip install --quiet --disable-pip-version-check build/dist/thinsim-*.$$kind && \
	    (cd / && "$(CURDIR)/build/installed/bin/thinsim" run container-exit --rig process \
	        --html /dev/null --fail-on-leak 1G) || exit 1; \
	done

# A quarter of an hour: tens of thousands of random histories, crashes and damages of pool metadata.
campaign-metadata: setup
	THINSIM_CAMPAIGN=1 THINSIM_EXAMPLES=100 THINSIM_SUBSETS=40 THINSIM_CORRUPTIONS=1500 \
	    $(BIN)/python -m pytest -q tests/thin/test_thin_metadata_histories.py \
	    tests/thin/test_thin_metadata_crashes.py tests/thin/test_thin_metadata_damage.py $(TEST_ARGUMENTS)

# Most of an hour, as root: kill the snapshotter before and during every step, and write docs/evidence/crashes.md.
campaign-crashes: setup
	mkdir -p build
	$(BIN)/thinsim snapshotter crashes --json build/crashes-process.json
	$(BIN)/thinsim snapshotter crashes --rig emulated --json build/crashes-emulated.json
	$(BIN)/python -m tools.crashes_page --process build/crashes-process.json --emulated build/crashes-emulated.json

# Three minutes: write docs/evidence/crashes.md with new crashes on the process rig.
.PHONY: crashes-page
crashes-page: setup
	mkdir -p build
	$(BIN)/thinsim snapshotter crashes --json build/crashes-process.json
	$(BIN)/python -m tools.crashes_page --process build/crashes-process.json

# Write docs/evidence/benchmarks.md from docs/evidence/data. MEASURE=NAME first measures a benchmark of
# tools/benchmarks_page.py again, as root; MEASURE=all measures every one, on a machine without other work.
MEASURE ?=
.PHONY: benchmarks-page
benchmarks-page: setup
	$(if $(MEASURE),$(call install,$(BENCH_PACKAGES)))
	$(if $(MEASURE),$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]')
	$(BIN)/python -m tools.benchmarks_page $(addprefix --measure ,$(MEASURE))

# Two hours, as root: run on each supported system what a newcomer runs, and write docs/evidence/matrix.md. With
# MATRIX='--system SUITE --step STEP' only a part runs, and the page keeps the other results.
MATRIX ?=
.PHONY: matrix
matrix: setup
	$(call install,debootstrap)
	$(BIN)/python -m tools.matrix --measure $(MATRIX)

# Write docs/evidence/hosts.md from docs/evidence/data. MEASURE=all first measures every kind of host file system
# below a store, as root; this takes minutes.
.PHONY: hosts-page
hosts-page: setup
	$(BIN)/python -m tools.hosts_page $(if $(MEASURE),--measure)

# Write docs/evidence/posix.md from docs/evidence/data. MEASURE=all first runs pjdfstest in a plain directory and on
# stores, as root; this takes a quarter of an hour. SUITE is a clone of pjdfstest; by default git fetches one.
SUITE ?=
.PHONY: posix-page
posix-page: setup
	$(if $(MEASURE),$(call install,git openssl))
	mkdir -p build
	$(if $(MEASURE),$(BIN)/python -m tools.posix_suite $(if $(SUITE),--sources $(SUITE)) --json build/posix.json)
	$(BIN)/python -m tools.posix_page $(if $(MEASURE),--results build/posix.json)

# Two minutes: measure the leaks of each version of containerd that Debian has, and write their page.
.PHONY: containerd-versions-page
containerd-versions-page: setup
	$(BIN)/python -m tools.containerd_versions_page --measure

# Ten minutes and 4 GB: build the containerd of other Debian releases with the patches of tools/containerd_patches.
.PHONY: containerd-patched
containerd-patched: setup
	$(BIN)/python -m tools.containerd_patched

# Twenty minutes, as root: measure released and patched containerd side by side, and write the two pages about them.
.PHONY: containerd-patched-pages
containerd-patched-pages: setup
	$(BIN)/python -m tools.containerd_patched_pages --measure

# Most of an hour, as root, on a machine without other work: count how often the verdicts of thinsim ci are right,
# and write docs/evidence/verdict-rates.md. RUNS is the number of runs of each case.
RUNS ?= 100
.PHONY: verdict-rates
verdict-rates: setup
	mkdir -p build
	$(BIN)/python -m benchmarks.verdict_rates count --runs $(RUNS) --json build/rates-process.json
	$(BIN)/python -m benchmarks.verdict_rates count --runs $(RUNS) --rig emulated --json build/rates-emulated.json
	$(BIN)/python -m tools.verdict_rates_page --counts build/rates-process.json build/rates-emulated.json

# Minutes, as root: measure the time that a prepare waits while a large device is discarded.
bench-removal: setup
	$(BIN)/python -m benchmarks.removal

bench-engine: setup
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks.engine $(BENCH_ARGUMENTS)

# Build the site in build/site and the manual pages in build/man. A warning fails.
.PHONY: docs
docs: setup
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/site
	$(BIN)/sphinx-build -q -W --keep-going -b man docs build/man

# The oldest generator whose code runs with protobuf 4.25 and later, in its own environment.
proto:
	$(PYTHON) -m venv build/proto
	build/proto/bin/pip install --quiet --disable-pip-version-check grpcio-tools==1.62.3 'setuptools<80'
	build/proto/bin/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. thinsim/snapshotter/proxy/snapshots.proto

# VERSION=0.2.0 joins the fragments of changelog.d into CHANGELOG.md and removes them; the draft changes nothing.
.PHONY: changelog changelog-draft
changelog: setup
	@test -n "$(VERSION)" || { echo 'make changelog needs a version: make changelog VERSION=0.2.0' >&2; exit 2; }
	$(BIN)/towncrier build --yes --version $(VERSION)
changelog-draft: setup
	$(BIN)/towncrier build --draft --version $(or $(VERSION),next)

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis fuse_backing/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
