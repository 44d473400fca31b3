# vmlaunch - every target; `make help` lists them.
# One non-recursive Makefile; variants are the same rules with another B (build/asan, build/clang, ...).

B         ?= build
PREFIX    ?= /usr/local
DESTDIR   ?=
CC        ?= gcc
CFLAGS    ?= -O2 -g
VERSION   := 0.1.0

WARN      := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef
HARDEN    := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fPIE
HARDEN_LD := -pie -Wl,-O2 -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed -Wl,--gc-sections
# The sanitizers bring their own checks and do not go with _FORTIFY_SOURCE or an unoptimised build.
ifneq ($(findstring -fsanitize,$(CFLAGS)),)
HARDEN    := -fPIE
endif
# Small: of the program's 1.4 MiB tables of unwinding (no C++, no backtrace(); gdb has those of -g) were a tenth, another one
# the relocations of our own tables, unless linker and libc know the packed form.
RELR      := -Wl,-z,pack-relative-relocs
RELR_WORKS := $(shell t=$$(mktemp) && echo 'int main(void) { return 0; }' | \
                $(CC) -xc - -fPIE -pie $(RELR) -o $$t 2>/dev/null && $$t && echo yes; rm -f $$t)
# Prints the switches if the compiler has them all.
known      = $(shell $(CC) -Werror $1 -E -xc /dev/null >/dev/null 2>&1 && echo '$1')
ifeq ($(findstring -fsanitize,$(CFLAGS)),)
# gcc would begin each larger table at a multiple of 32 bytes.
HARDEN    += -fno-asynchronous-unwind-tables -fno-unwind-tables $(call known,-malign-data=abi)
HARDEN_LD += $(if $(RELR_WORKS),$(RELR))
endif
WERROR    ?=
PKGS      := jansson expat
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
# expat is loaded when there is XML to read.
PKG_LIBS  := $(shell pkg-config --libs $(filter-out expat,$(PKGS)) 2>/dev/null || echo -ljansson) -lm
CFLAGS_ALL = -std=gnu17 -D_GNU_SOURCE -DVMLAUNCH_VERSION='"$(VERSION)"' -I. $(WARN) $(WERROR) \
             -include base/json_ref.h -ffunction-sections -fdata-sections $(HARDEN) $(PKG_CFLAGS) $(CFLAGS) $(SIZE)

LIB_SRC   := $(sort $(wildcard base/*.c conf/*.c net/*.c cgroups/*.c qmp/*.c launcher/*/*.c))
LIB_OBJ   := $(LIB_SRC:%.c=$B/%.o)
UNIT_SRC  := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BIN  := $(UNIT_SRC:tests/unit/%.c=$B/tests/%)
FUZZ_SRC  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
REPLAY_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$B/tests/replay_%)
TOOL_SRC  := $(sort $(wildcard tests/tools/*.c))
TOOL_BIN  := $(TOOL_SRC:tests/tools/%.c=$B/tests/%)
FAKE_SRC  := $(sort $(wildcard tests/fake/*.c))
FAKE_OBJ  := $(FAKE_SRC:%.c=$B/%.o)

.DEFAULT_GOAL := all
.PHONY: all help deps guest
all: $B/vmlaunch $B/vmlaunch-fake-qemu $B/steps ## build build/vmlaunch, build/libvmlaunch.a and build/vmlaunch-fake-qemu

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

$B/vmlaunch: $B/launcher/main.o $B/libvmlaunch.a
	$(CC) $(CFLAGS_ALL) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

# The scripted QMP and agent peer (docs/fake-qemu.md), for our tests and those of integrators.
$B/vmlaunch-fake-qemu: $(FAKE_OBJ) $B/libvmlaunch.a
	$(CC) $(CFLAGS_ALL) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

$B/libvmlaunch.a: $(LIB_OBJ)
	@rm -f $@
	@$(AR) rcs $@ $^

# What a plan of hundreds of disks spends its time in is made for speed, the rest, which waits for kernel and QEMU, small.
FAST      := base/text.o $(addprefix conf/,spec_sections.o template.o) launcher/plan/plan_word.o
ifneq ($(filter -O2,$(CFLAGS)),)
# gcc has -Oz since version 12; the passes that it is to leave out make code larger even there. clang has no such switches.
SMALL     := $(or $(call known,-Oz),-Os) \
             $(call known,-fno-tree-pre -fno-gcse -fno-caller-saves -fno-move-loop-invariants -fno-thread-jumps \
                    -fno-optimize-sibling-calls -fno-tree-dominator-opts -fno-tree-loop-im -fno-tree-tail-merge)
$(filter-out $(FAST:%=$B/%),$(LIB_OBJ)): SIZE = $(SMALL)
# Fast is what is executed here, not where it stands.
$(FAST:%=$B/%): SIZE = $(call known,-fno-align-functions -fno-align-jumps -fno-align-loops -fno-align-labels)
endif

$B/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# What changes something outside of the process has a name at which a test can end it.
$B/steps: $(wildcard launcher/run/*.c launcher/state/*.c) tests/lint/steps.sh tests/lint/steps.txt
	@mkdir -p $(@D)
	@tests/lint/steps.sh
	@touch $@

# Manual pages and completion are made of the tables; the reference, too, and is kept in docs/.
DOC_FILES := $B/docs/vmlaunch.1 $B/docs/vmlaunch.template.5 $B/docs/vmlaunch.bash
$B/make_docs: $B/docs/make_docs.o $B/libvmlaunch.a
	$(CC) $(CFLAGS_ALL) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$B/docs/vmlaunch.1: $B/make_docs
	$B/make_docs man1 >$@
$B/docs/vmlaunch.template.5: $B/make_docs
	$B/make_docs man5 >$@
$B/docs/vmlaunch.bash: $B/make_docs
	$B/make_docs completion >$@
.PHONY: docs
docs: $(DOC_FILES) ## write docs/template-reference.md and dist/etc; manual pages and completion below build/docs
	$B/make_docs reference >docs/template-reference.md
	$B/make_docs driver >dist/etc/vmm_exec_kvm.conf
	$B/make_docs cluster >dist/etc/cluster.conf
	$B/make_docs host >dist/etc/host.conf
	$B/make_docs kvmrc >dist/etc/kvmrc

# Unit tests: one program per file, linked with the library and cmocka.
$B/tests/test_%: $B/tests/unit/test_%.o $B/libvmlaunch.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(PKG_LIBS) -lcmocka

# Integration tests in C: cmocka programs too, that end with 77 and the reason where they cannot run.
$B/tests/it_%: $B/tests/integration/%.o $B/libvmlaunch.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(PKG_LIBS) -lcmocka

# Each fuzz target links a plain main() too, which replays its corpus.
$B/tests/replay_%: $B/tests/fuzz/%.o $B/tests/fuzz/replay_main.o $B/libvmlaunch.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

# RFB and SPICE have cryptography of their own.
$B/tests/display_client: TOOL_LIBS = -lcrypto
# Small programs that the integration tests use.
$B/tests/%: $B/tests/tools/%.o $B/libvmlaunch.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(PKG_LIBS) $(TOOL_LIBS)

# What the targets need from the distribution; says so when nothing is missing. GROUPS narrows it.
deps: ## install the Debian packages that are missing (GROUPS="build demo test guest lint")
	@tests/deps.sh $(GROUPS)

# All variants boot the same guest, so it is not below $B. build.sh knows whether there is anything to do.
guest: ## build the test guests, build/guest/vmlinuz and initrd.img, and unpack the inits
	@tests/guest/build.sh build/guest
	@tests/guest/systemd.sh build/guest
	@tests/guest/inits.sh build/guest

# Integration programs: root tests in C, each in namespaces of its own.
IT_SRC    := $(sort $(wildcard tests/integration/*.c))
IT_BIN    := $(IT_SRC:tests/integration/%.c=$B/tests/it_%)

.PHONY: lint lint-deep unit-programs print-cflags check nightly integration proof
lint: ## read the code with every checker; warnings are errors
	@tests/lint.sh

lint-deep: ## gcc's own analyzer: leads to look at, with false alarms (slow)
	$(MAKE) -s B=build/analyzer CFLAGS='-O1 -fanalyzer' all

unit-programs: $(UNIT_BIN) $(REPLAY_BIN) $(TOOL_BIN) $(IT_BIN) $(DOC_FILES)

print-cflags:
	@echo $(filter-out -Werror -fstack-clash-protection -malign-data=abi,$(CFLAGS_ALL))

integration: all guest unit-programs ## integration tests on real guests (root)
	@tests/run.sh

check: ## install what is missing and run all tests
	@tests/deps.sh build test guest
	$(MAKE) all unit-programs
	$(MAKE) check-unit
	$(MAKE) integration

nightly: ## check with all repetitions, sanitizers, each fuzz target: hours (root)
	@tests/deps.sh build test guest lint
	$(MAKE) all guest unit-programs
	@tests/nightly.sh

# make proof NAME: the words after "proof" are no targets of their own.
proof: all guest unit-programs ## run the tests of an issue's "must show" list: make proof spine
	@tests/proof.sh $(PROOF)
ifeq ($(firstword $(MAKECMDGOALS)),proof)
PROOF := $(wordlist 2,9,$(MAKECMDGOALS))
.PHONY: $(PROOF)
$(PROOF):
	@:
endif

-include $(shell find $B -path $B/guest -prune -o -name '*.d' -type f -print 2>/dev/null)

# Chains of implicit rules keep their objects.
.SECONDARY:

.PHONY: check-unit bless asan fuzz
check-unit: $(UNIT_BIN) $(REPLAY_BIN) ## unit tests and corpus replay: seconds, any user, nothing installed
	@tests/unit.sh $(UNIT_BIN) $(REPLAY_BIN)

bless: $B/tests/test_golden $B/tests/test_precedence docs ## write the golden plans and docs/template-reference.md anew: review the diff like code
	@BLESS=1 $B/tests/test_golden >/dev/null 2>&1 || $B/tests/test_golden
	@BLESS=1 $B/tests/test_precedence >/dev/null 2>&1 || $B/tests/test_precedence

asan: ## check-unit with address and undefined behaviour sanitizers
	$(MAKE) B=build/asan CFLAGS='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all' \
	        LDFLAGS='-fsanitize=address,undefined' check-unit

# make fuzz FUZZ=json_stream SECONDS=60: new inputs go to build/fuzz/corpus_NAME, crashes beside them.
FUZZ      ?= json_stream
SECONDS   ?= 60
FUZZ_B    := build/fuzz
fuzz: ## run one fuzz target with clang's libFuzzer (FUZZ=name SECONDS=60)
	$(MAKE) B=$(FUZZ_B) CC=clang CFLAGS='-O1 -g -fsanitize=fuzzer-no-link,address,undefined' \
	        LDFLAGS='-fsanitize=address,undefined' $(FUZZ_B)/libvmlaunch.a $(FUZZ_B)/tests/fuzz/fuzz_$(FUZZ).o
	clang -fsanitize=fuzzer,address,undefined -o $(FUZZ_B)/fuzz_$(FUZZ) $(FUZZ_B)/tests/fuzz/fuzz_$(FUZZ).o \
	        $(FUZZ_B)/libvmlaunch.a $(PKG_LIBS)
	@mkdir -p $(FUZZ_B)/corpus_$(FUZZ)
	$(FUZZ_B)/fuzz_$(FUZZ) -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
	        -artifact_prefix=$(FUZZ_B)/$(FUZZ)- $(FUZZ_B)/corpus_$(FUZZ) tests/corpus/$(FUZZ)

.PHONY: fuzz-coverage
COVERAGE_B := build/coverage
fuzz-coverage: ## line coverage of each parser by its corpus, at least 90 %
	$(MAKE) -s B=$(COVERAGE_B) CFLAGS='-O0 -g --coverage' LDFLAGS=--coverage HARDEN=-fPIE \
	        $(FUZZ_SRC:tests/fuzz/%.c=$(COVERAGE_B)/tests/replay_%)
	@tests/coverage.sh $(COVERAGE_B)

.PHONY: demo bench install
demo: ## from nothing to a running guest and its clean end, each step shown
	@BUILD=$B tests/demo.sh

BENCH_BIN := $B/tests/bare $B/tests/qmp_call $B/tests/qmp_plug
$(BENCH_BIN): $B/tests/%: $B/tests/bench/%.o $B/libvmlaunch.a
	$(CC) $(CFLAGS_ALL) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
unit-programs: $(BENCH_BIN)

bench: all guest $(BENCH_BIN) $B/tests/fake_qemu ## start, destroy, plan, list against their bars (root; BENCH_QUICK=1)
	@BUILD=$B tests/bench/bench.sh

# Paths of the installed files; packagers set DESTDIR and PREFIX.
BINDIR    := $(DESTDIR)$(PREFIX)/bin
DOCDIR    := $(DESTDIR)$(PREFIX)/share/doc/vmlaunch
MANDIR    := $(DESTDIR)$(PREFIX)/share/man
COMPLETIONDIR := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
SYSTEMDDIR := $(DESTDIR)$(PREFIX)/lib/systemd
install: all $(DOC_FILES) install-units ## install program, manual pages, completion and examples (DESTDIR= PREFIX=/usr/local)
	install -D -m 755 $B/vmlaunch $(BINDIR)/vmlaunch
	install -D -m 755 $B/vmlaunch-fake-qemu $(BINDIR)/vmlaunch-fake-qemu
	install -d $(DOCDIR)/examples
	install -m 644 LICENSE README.md docs/*.md $(DOCDIR)/
	install -m 644 dist/examples/*.tmpl $(DOCDIR)/examples/
	install -d $(DOCDIR)/etc
	install -m 644 dist/etc/* $(DOCDIR)/etc/
	install -D -m 644 $B/docs/vmlaunch.1 $(MANDIR)/man1/vmlaunch.1
	install -D -m 644 $B/docs/vmlaunch.template.5 $(MANDIR)/man5/vmlaunch.template.5
	install -D -m 644 $B/docs/vmlaunch.bash $(COMPLETIONDIR)/vmlaunch

.PHONY: install-units
install-units: ## install systemd's units and generator (DESTDIR= PREFIX=/usr/local)
	install -d $(SYSTEMDDIR)/system $(SYSTEMDDIR)/system-generators
	sed 's#@BINDIR@#$(PREFIX)/bin#' dist/systemd/vmlaunch@.service.in >$(SYSTEMDDIR)/system/vmlaunch@.service
	install -m 644 dist/systemd/vmlaunch-delay@.service $(SYSTEMDDIR)/system/
	ln -sf $(PREFIX)/bin/vmlaunch $(SYSTEMDDIR)/system-generators/vmlaunch-generator
