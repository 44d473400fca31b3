/* SHMEM: memory that virtual machines share. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

#define FROM "libvirt-behaviour 2; QEMU docs/system/devices/ivshmem.rst"

static const struct attr_word model_words[] = {
        WORD("ivshmem-plain", SHMEM_PLAIN),
        WORD("ivshmem-doorbell", SHMEM_DOORBELL),
        WORDS_END,
};
static const struct attr_word role_words[] = {
        WORD("master", SHMEM_MASTER),
        WORD("peer", SHMEM_PEER),
        WORDS_END,
};

#define ATTR_OF struct shmem_spec
static const struct attr shmem_rows[] = {
        { "NAME", TEXT(name), .lookup = LOOKUP_D, .max = 64, .lands = LANDS_ARGV,
          .chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
          .doc = "VMs of this host that give the same name have the same memory; has to be given.",
          .source = FROM },
        { "MODEL", ENUM(model, shmem_model, model_words), .lookup = LOOKUP_D, .dflt = "ivshmem-plain",
          .lands = LANDS_ARGV,
          .doc = "ivshmem-plain: memory, /run/vmlaunch/.shmem/NAME on the host, which goes with the last VM that has it; "
                 "ivshmem-doorbell: that of the ivshmem-server at PATH, with interrupts.",
          .source = FROM },
        { "SIZE", SIZE(size, 1u << 20, "MiB"), .lookup = LOOKUP_D, .dflt = "4", .min = 1u << 20,
          .max = 1ull << 40, .lands = LANDS_ARGV,
          .doc = "Of ivshmem-plain, a power of two, the same for all VMs; a server knows its own.",
          .source = FROM },
        { "ROLE", ENUM(role, shmem_role, role_words), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "master: the memory goes along when the VM migrates; peer: the VM cannot migrate. Absent: peer.",
          .source = FROM },
        { "PATH", PATH(path), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Socket of the ivshmem-server of ivshmem-doorbell.", .source = FROM },
        { "VECTORS", U32(vectors), .lookup = LOOKUP_D, .min = 1, .max = 64, .lands = LANDS_ARGV,
          .doc = "Interrupts of ivshmem-doorbell, as many as its server was told. Absent: 1.",
          .source = FROM },
};
#undef ATTR_OF

const struct attr_section attr_shmem = {
        .name = "SHMEM",
        .repeats = true,
        .rows = shmem_rows,
        .n_rows = ARRAY_SIZE(shmem_rows),
        .doc = "A PCI device with memory that VMs share.",
        .source = "libvirt-behaviour 2",
};
