/*
 * XML that nobody means well, as VM XML and as pieces of libvirt XML: it ends, in little time and memory, in an error that
 * says what is wrong, or it means what it says. Time is of the processor, so a busy machine does not count. How XML itself
 * is bounded shows test_template_xml.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/site.h"
#include "conf/spec_build.h"

/* With sanitizers everything is slower, and memory that was freed is kept. */
#if defined(__SANITIZE_ADDRESS__)
enum { MAX_SECONDS = 60 };
static const long max_kib = 0; /* not looked at */
#else
enum { MAX_SECONDS = 5 };
static const long max_kib = 512 << 10;
#endif

/* In RAW of TYPE kvm when it is a snippet, else the inside of <TEMPLATE>, or a whole text that begins with "<". */
struct hostile {
        const char *what;
        const char *before, *each, *after; /* each: n times, "%zu" in it is the number */
        size_t n;
        const char *message; /* of the first error is in it; NULL: it is fine */
};

#define TOO_MANY "more than 4096 elements and attributes in all pieces of libvirt XML"

static const struct hostile snippets[] = {
        { "as many words of QEMU as are taken", "<qemu:commandline>", "<qemu:arg value='-device'/>",
          "</qemu:commandline>", 2000, "words, at most 1024 are taken" },
        { "words of QEMU", "<qemu:commandline>", "<qemu:arg value='x'/>", "</qemu:commandline>", 49000,
          TOO_MANY },
        { "elements beside each other that know of each other", "", "<memory>65536</memory>", "", 90000,
          TOO_MANY },
        { "what is nothing", "", "<foo/>", "", 99000, TOO_MANY },
        { "what is nothing, as much as is read", "", "<foo/>", "", 4000, "<foo>: has no counterpart" },
        { "attributes", "<foo ", " a%zu='1'", "/>", 90000, TOO_MANY },
        { "attributes, as many as are read", "<foo ", " a%zu='1'", "/>", 4000, "has no counterpart" },
        { "flags of a CPU", "<cpu>", "<feature name='f%zu'/>", "</cpu>", 2000, "CPU_MODEL/FEATURES" },
        { "cells", "<cpu><numa>", "<cell cpus='0' memory='1'/>", "</numa></cpu>", 1300, "cells" },
        { "timers", "<clock offset='utc'>", "<timer name='rtc'/>", "</clock>", 2000, "TIMER/NAME" },
        { "rules", "<devices><redirfilter>", "<usbdev allow='no'/>", "</redirfilter></devices>", 2000,
          "REDIRFILTER" },
        { "channels", "<devices>", "<redirdev bus='usb' type='spicevmc'/>", "</devices>", 1300,
          "USB_REDIRECTIONS" },
        { "disks", "<devices>", "<disk type='file'><source file='/x'/><target dev='vda'/></disk>",
          "</devices>", 580, "vda" },
        { "aliases", "<devices><input type='tablet' bus='usb'>", "<alias name='x'/>", "</input></devices>",
          2000, NULL },
        { "strings of a maker", "<sysinfo type='smbios'><oemStrings>", "<entry>a</entry>",
          "</oemStrings></sysinfo>", 4000, NULL },
        { "depth", "", "<a>", "", 100000, "more than 64 elements inside each other" },
        { "a text of 10 MB without effect", "<description>", "0123456789", "</description>", 1 << 20, NULL },
        { "a text of 10 MB with an effect", "<on_crash>", "0123456789", "</on_crash>", 1 << 20,
          "is not one of" },
        { "a number of 1 MB", "<vcpu>", "9999999999", "</vcpu>", 100000, "VCPU: '9999" },
        { "huge numbers",
          "<memory unit='TiB'>18446744073709551616</memory><vcpu current='99999999999999999999'>", "",
          "4294967297</vcpu>", 1, "MEMORY: '18446744073709551616 TiB' is out of range" },
        { "numbers below zero", "<memtune><hard_limit>", "", "-1</hard_limit></memtune>", 1,
          "MEMTUNE/HARD_LIMIT" },
        { "an entity bomb", "<!DOCTYPE x [<!ENTITY a 'aaaa'>]>", "", "<a>&a;</a>", 1, "not XML" },
        { "an entity that is not there", "<on_crash>", "", "&destroy;</on_crash>", 1,
          "not XML: undefined entity" },
        { "characters that XML has not", "<on_crash>", "&#1;", "</on_crash>", 1,
          "not XML: reference to invalid" },
        { "bytes of another encoding", "<on_crash>\xe4", "", "</on_crash>", 1, "not XML: not well-formed" },
        { "UTF-8 that is longer than it has to be", "<on_crash>\xc0\xaf", "", "</on_crash>", 1, "not XML" },
        { "an attribute twice", "<devices><panic ", " model='isa'", "/></devices>", 2,
          "not XML: duplicate attribute" },
        { "an end too many", "", "</on_crash>", "", 2, "no element is open" },
        { "an end of our own wrapping", "", "</_><_>", "", 2, "not XML" },
};

static const struct hostile vms[] = {
        { "names", "", "<A%zu>1</A%zu>", "", 90000, "no such attribute" },
        { "one name", "", "<A>1</A>", "", 90000, "no such attribute" },
        { "one key", "<DISK>", "<SOURCE>x</SOURCE>", "</DISK>", 90000, NULL },
        { "NICs", "", "<NIC><BRIDGE>b</BRIDGE></NIC>", "", 33000, "more than 256 NICs" },
        { "disks", "", "<DISK><SOURCE>/x</SOURCE></DISK>", "", 33000, "more than" },
        { "RAW", "", "<RAW><TYPE>kvm</TYPE><DATA>&lt;foo/></DATA></RAW>", "", 24000,
          "<foo>: has no counterpart" },
        { "a text of 10 MB", "<DESCRIPTION>", "0123456789", "</DESCRIPTION>", 1 << 20, NULL },
        { "a name of 10 MB", "<NAME>", "0123456789", "</NAME>", 1 << 20, "NAME" },
        { "character references", "<DESCRIPTION>", "&#120;", "</DESCRIPTION>", 1700000, NULL },
        { "sections", "<DESCRIPTION>", "<![CDATA[x]]>", "</DESCRIPTION>", 800000, NULL },
        { "huge numbers", "<VCPU>", "99999999", "</VCPU>", 3, "VCPU: '9999" },
        { "a number with an exponent", "<MEMORY_MAX>", "", "1e400</MEMORY_MAX>", 1, "MEMORY_MAX" },
        { "a document type", "<!DOCTYPE x [<!ENTITY a 'x'>]><VM>", "", "</VM>", 1,
          "a document type is not taken" },
        { "another encoding", "<?xml version='1.0' encoding='EBCDIC-CP-US'?><VM>", "", "</VM>", 1,
          "encoding 'EBCDIC-CP-US' is not taken" },
        { "a tag without an end", "<V", "V", "", 10 << 20, "not XML: unclosed token" },
        { "tags without an end", "<VM>", "<VM>", "", 2000000, "more than 64 elements inside each other" },
        { "what belongs to users",
          "<VM><ID>5</ID><TEMPLATE><CPU>1</CPU><MEMORY>64</MEMORY></TEMPLATE><USER_TEMPLATE>",
          "<A%zu>1</A%zu>", "</USER_TEMPLATE></VM>", 90000, NULL },
        { "records", "<VM><ID>5</ID><TEMPLATE><CPU>1</CPU><MEMORY>64</MEMORY></TEMPLATE><HISTORY_RECORDS>",
          "<HISTORY><DS_ID>0</DS_ID></HISTORY>", "</HISTORY_RECORDS></VM>", 40000, NULL },
};

static void add_each(struct text *out, const struct hostile *row)
{
        bool has_number = strstr(row->each, "%zu") != NULL;

        for (size_t i = 0; i < row->n; i++) {
                const char *rest = row->each, *mark;

                for (; has_number && (mark = strstr(rest, "%zu")); rest = mark + 3) {
                        text_add_bytes(out, rest, (size_t)(mark - rest));
                        text_addf(out, "%zu", i);
                }
                text_add(out, rest);
        }
}

static long used_kib(void)
{
        struct rusage usage;

        getrusage(RUSAGE_SELF, &usage);
        return usage.ru_maxrss;
}

static void check(const struct hostile *row, const char *text)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        _cleanup_(site_freep) struct site *site = NULL;
        struct error *err = NULL;
        clock_t begin = clock();
        double seconds;

        assert_int_equal(site_from_text(NULL, NULL, NULL, NULL, NULL, &site, &err), 0);
        if (template_parse("t", text, strlen(text), &template, &err) == 0)
                spec_build(template, site, "/vm", "t", &spec, &err);
        seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        if (seconds > MAX_SECONDS)
                fail_msg("%s: %.1f s", row->what, seconds);
        if (max_kib && used_kib() > max_kib)
                fail_msg("%s: %ld MiB", row->what, used_kib() >> 10);
        if (!row->message && err)
                fail_msg("%s: %.300s", row->what, err->message);
        if (row->message && (!err || !strstr(err->message, row->message)))
                fail_msg("%s: '%.300s', expected: '%s'", row->what, err ? err->message : "fine",
                         row->message);
        error_free(err);
}

static void hostile_pieces_of_libvirt_xml_end_soon_with_a_message(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(snippets); i++) {
                _cleanup_text_ struct text snippet = TEXT_INIT, text = TEXT_INIT;

                text_add(&snippet, snippets[i].before);
                add_each(&snippet, &snippets[i]);
                text_add(&snippet, snippets[i].after);
                text_add(&text, "CPU=1\nMEMORY=64\nRAW=[TYPE=kvm,");
                template_write_value(&text, "DATA", text_str(&snippet));
                text_add(&text, "]\n");
                check(&snippets[i], text_str(&text));
        }
}

static void hostile_vm_xml_ends_soon_with_a_message(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(vms); i++) {
                _cleanup_text_ struct text text = TEXT_INIT;
                bool is_whole = text_starts_with(vms[i].before, "<?xml") ||
                                text_starts_with(vms[i].before, "<!") ||
                                text_starts_with(vms[i].before, "<V");

                is_whole = is_whole && !text_starts_with(vms[i].before, "<VCPU>");
                if (!is_whole)
                        text_add(&text, "<VM><TEMPLATE><CPU>1</CPU><MEMORY>64</MEMORY>");
                text_add(&text, vms[i].before);
                add_each(&text, &vms[i]);
                text_add(&text, vms[i].after);
                if (!is_whole)
                        text_add(&text, "</TEMPLATE></VM>");
                check(&vms[i], text_str(&text));
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(hostile_pieces_of_libvirt_xml_end_soon_with_a_message),
                cmocka_unit_test(hostile_vm_xml_ends_soon_with_a_message),
        };

        return cmocka_run_group_tests_name("hostile_xml", tests, NULL, NULL);
}
