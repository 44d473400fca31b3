/*
 * number_list - numbers as the kernel writes them, "0-3,8": CPUs and memory nodes of the host.
 *
 * Pure; nothing is allocated but texts. The bits are those of cpu_set_t and of the kernel's node masks.
 */
#pragma once

#include <stdbool.h>

/* One more than the greatest number: what Linux on x86 can have of CPUs. */
#define NUMBER_LIST_END  8192
#define NUMBER_LIST_WORD (8 * sizeof(unsigned long))

struct number_list {
        unsigned long bits[NUMBER_LIST_END / NUMBER_LIST_WORD];
};

/* Blanks do not count; "0-3,^2" leaves 2 out again, as libvirt has it. false: no such list, or nothing is on it. */
bool number_list_parse(const char *text, struct number_list *ret);
/* The same; false also when a number on it is not one of first to last. */
bool number_list_parse_within(const char *text, unsigned first, unsigned last, struct number_list *ret);
void number_list_add(struct number_list *list, unsigned number);
bool number_list_has(const struct number_list *list, unsigned number);
/* Is everything on it on the other one? */
bool number_list_is_within(const struct number_list *list, const struct number_list *other);
/* How many are on it. */
unsigned number_list_count(const struct number_list *list);
/* As the kernel writes it, "" for an empty one; new string. */
char *number_list_text(const struct number_list *list);
