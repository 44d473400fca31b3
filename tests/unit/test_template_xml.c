/* The XML form of templates, OpenNebula's VM XML, and XML that means harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/locator.h"
#include "conf/spec_build.h"
#include "conf/xml_tree.h"
#include "tests/unit/shown_template.h"

/* A=<1> B=[X=<2>] and then the warnings' messages, or the errors as line:column: message, each ended by ';'. */
static char *meaning(const char *text, size_t length)
{
        _cleanup_(template_freep) struct template *template = NULL;
        struct error *err = NULL;
        struct text out = TEXT_INIT;

        if (template_parse("t", text, length, &template, &err) < 0) {
                for (const struct error *e = err; e; e = e->next) {
                        text_addf(&out, "%u:%u: %s;", e->pos.line, e->pos.column, e->message);
                        assert_string_equal(e->pos.file, "t");
                        assert_int_equal(e->code, ERROR_INVALID);
                }
                error_free(err);
                return text_take(&out);
        }
        show_template(&out, template);
        if (template->vm_directory)
                text_addf(&out, " in:%s", template->vm_directory);
        for (const struct error *warning = template->warnings; warning; warning = warning->next)
                text_addf(&out, " %u:%u: %s;", warning->pos.line, warning->pos.column, warning->message);
        return text_take(&out);
}

struct row {
        const char *input, *ours;
};

static void check_rows(const struct row *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *ours = meaning(rows[i].input, strlen(rows[i].input));

                if (strcmp(ours, rows[i].ours) != 0)
                        print_error("%s\n", rows[i].input);
                assert_string_equal(ours, rows[i].ours);
        }
}

static void an_element_is_an_attribute_or_a_vector(void **state)
{
        static const struct row rows[] = {
                { "<T><A>1</A><b>x y</b></T>", "A=<1> B=<x y>" },
                { "<T><A><![CDATA[1]]></A></T>", "A=<1>" },
                { " \r\n\t<T><A>1</A></T>\n", "A=<1>" },
                { "\xef\xbb\xbf<T><A>1</A></T>", "A=<1>" },
                { "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<T><A>\xc3\xa4</A></T>", "A=<\xc3\xa4>" },
                { "<?xml version='1.0' encoding='us-ascii'?><T><A>1</A></T>", "A=<1>" },
                { "<T><A><X>1</X><Y>2</Y></A></T>", "A=[X=<1> Y=<2>]" },
                { "<T>\n <A>\n  <X>1</X>\n </A>\n</T>", "A=[X=<1>]" },
                { "<T><A>a &lt;b&gt; &amp; &quot;c&quot; &#65;&#x42;</A></T>", "A=<a <b> & \"c\" AB>" },
                { "<T><A>a<![CDATA[<b>]]>c</A></T>", "A=<a<b>c>" },
                { "<T><A>a\r\nb\rc</A></T>", "A=<a\\nb\\nc>" },
                { "<T><A>a<!-- c -->b<?pi x?></A></T>", "A=<ab>" },
                /* Nothing at all is no attribute, a section with nothing in it is an empty one. */
                { "<T><A/><B></B><C><![CDATA[]]></C><D><X/><Y><![CDATA[]]></Y></D></T>", "C=<> D=[Y=<>]" },
                { "<T/>", "" },
                { "<T></T>", "" },
                /* The last key of a name counts, the first attribute (opennebula-semantics 1.1). */
                { "<T><A><X>1</X><X>2</X><x>3</x></A></T>",
                  "A=[X=<3>] 1:15: A/X: given twice, the last one counts, not that of line 1; 1:23: A/X: given twice, "
                  "the last one counts, not that of line 1;" },
                { "<T><A>1</A>\n<A>2</A></T>",
                  "A=<1> A=<2> 2:1: A: given twice, the first one counts (line 1);" },
                { "<T><A><X>1</X></A><A><X>2</X></A></T>", "A=[X=<1>] A=[X=<2>]" },
                { "<VMTEMPLATE><ID>3</ID><NAME>n</NAME><TEMPLATE><CPU>1</CPU></TEMPLATE></VMTEMPLATE>",
                  "CPU=<1>" },
                { "<T><A><X><Y>1</Y></X></A></T>", "1:10: A/X: a vector cannot hold a vector;" },
                { "<T><A>x<X>1</X></A></T>", "1:7: <A>: holds text 'x' beside elements;" },
                { "<T>x<A>1</A></T>", "1:4: <T>: holds text 'x' beside elements;" },
                { "<T><A-B>1</A-B><C.D>1</C.D></T>",
                  "1:4: <A-B>: is no name of an attribute: letters, digits and '_' only;1:16: <C.D>: is no name of an "
                  "attribute: letters, digits and '_' only;" },
                { "<T><A x='1'>1</A></T>",
                  "1:7: A: XML attributes mean nothing here, values stand in elements;" },
                { "<domain type='kvm'/>",
                  "1:1: <domain>: is libvirt's description of a VM, not a template;" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void what_is_no_xml_is_an_error_with_its_place(void **state)
{
        static const struct row rows[] = {
                { "<", "1:1: not XML: unclosed token;" },
                { "<T>", "1:4: not XML: no element found; <T> of line 1 is open;" },
                { "<T>\n <A>1</B>\n</T>", "2:8: not XML: mismatched tag; <A> of line 2 is open;" },
                { "<T><A>1</A></T><T/>", "1:16: not XML: junk after document element;" },
                { "<T><A>&nbsp;</A></T>", "1:7: not XML: undefined entity;" },
                { "<T><A>a & b</A></T>", "1:10: not XML: not well-formed (invalid token);" },
                { "<T><A b='1' b='2'/></T>", "1:13: not XML: duplicate attribute;" },
                { "<T><A>\x01</A></T>", "1:7: not XML: not well-formed (invalid token);" },
                { "<T><A>\xff</A></T>", "1:7: not XML: not well-formed (invalid token);" },
                { "<T><A><![CDATA[x</A></T>",
                  "1:25: not XML: unclosed CDATA section; <A> of line 1 is open;" },
                { "<T><A>&#0;</A></T>", "1:7: not XML: reference to invalid character number;" },
                { "<T><A>&#99999999999999999999;</A></T>",
                  "1:7: not XML: reference to invalid character number;" },
                { " <?xml version='1.0'?><T/>",
                  "1:2: not XML: XML or text declaration not at start of entity;" },
                { "<?xml version='1.0' encoding='ISO-8859-1'?><T/>",
                  "1:1: encoding 'ISO-8859-1' is not taken: UTF-8 it has to be;" },
                { "<?xml version='1.0' encoding='UTF-16'?><T/>",
                  "1:1: encoding 'UTF-16' is not taken: UTF-8 it has to be;" },
                { "<?xml version='1.0' encoding='x-evil'?><T/>",
                  "1:1: encoding 'x-evil' is not taken: UTF-8 it has to be;" },
                { "<!DOCTYPE T><T/>",
                  "1:12: a document type is not taken: entities could stand for anything;" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static double seconds_since(const struct timespec *start)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* The error's message begins so, within a time that nothing quadratic keeps. */
static void refuses(const char *text, size_t length, const char *message)
{
        struct timespec start;
        _cleanup_free_ char *ours = NULL;
        const char *found;

        clock_gettime(CLOCK_MONOTONIC, &start);
        ours = meaning(text, length);
        assert_true(seconds_since(&start) < 20);
        found = strstr(ours, ": ");
        assert_non_null(found);
        if (!text_starts_with(found + 2, message))
                fail_msg("%.200s", ours);
}

static void entities_that_bomb_or_reach_out_are_refused(void **state)
{
        static const char bomb[] =
                "<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY a 'lol'><!ENTITY b '&a;&a;&a;'>"
                "<!ENTITY c '&b;&b;&b;'>]><T><A>&c;</A></T>";
        static const char outside[] =
                "<!DOCTYPE T [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><T><A>&x;</A></T>";
        static const char subset[] = "<!DOCTYPE T SYSTEM 'http://127.0.0.1/x.dtd'><T><A>1</A></T>";
        static const char parameter[] = "<!DOCTYPE T [<!ENTITY % x SYSTEM 'file:///dev/zero'> %x;]><T/>";
        const char *const all[] = { bomb, outside, subset, parameter };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                refuses(all[i], strlen(all[i]), "a document type is not taken");
}

static void repeat(struct text *out, const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++)
                text_add(out, s);
}

static void depth_number_and_size_are_bounded(void **state)
{
        _cleanup_text_ struct text deep = TEXT_INIT, many = TEXT_INIT, wide = TEXT_INIT, large = TEXT_INIT,
                                   open = TEXT_INIT;

        (void)state;
        repeat(&deep, "<a>", 200000);
        refuses(text_str(&deep), deep.length, "more than 64 elements inside each other");

        text_add(&many, "<T>");
        repeat(&many, "<A>1</A>", 1000000);
        text_add(&many, "</T>");
        refuses(text_str(&many), many.length, "more than 100000 elements and attributes");

        text_add(&wide, "<T><A");
        for (unsigned i = 0; i < 200000; i++)
                text_addf(&wide, " a%u='1'", i);
        text_add(&wide, "/></T>");
        refuses(text_str(&wide), wide.length, "more than 100000 elements and attributes");

        repeat(&large, "<A>xxxxxxxxxx</A>", (TEMPLATE_MAX_BYTES / 16) + 1);
        refuses(text_str(&large), large.length, "larger than 16 MiB");

        /* A token that never ends. */
        text_add(&open, "<T><A b='");
        repeat(&open, "0123456789", 1000000);
        refuses(text_str(&open), open.length, "not XML: unclosed token");
}

static void ten_megabytes_of_text_are_a_value(void **state)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_text_ struct text text = TEXT_INIT;
        struct error *err = NULL;
        struct timespec start;

        (void)state;
        text_add(&text, "<T><A><![CDATA[");
        repeat(&text, "0123456789", 1000000);
        text_add(&text, "]]></A><B>2</B></T>");
        clock_gettime(CLOCK_MONOTONIC, &start);
        assert_int_equal(template_parse("t", text_str(&text), text.length, &template, &err), 0);
        assert_true(seconds_since(&start) < 20);
        assert_int_equal(strlen(template->attributes[0].value), 10000000);
        assert_string_equal(template->attributes[1].value, "2");
}

static void text_in_utf_16_is_refused(void **state)
{
        static const char le[] = "\xff\xfe<\0T\0/\0>\0";
        _cleanup_free_ char *ours = meaning(le, sizeof(le) - 1);
        static const char nul[] = "<T><A>1\0</A></T>";
        _cleanup_free_ char *with_nul = meaning(nul, sizeof(nul) - 1);

        (void)state;
        assert_string_equal(ours, "1:4: a NUL byte: this is not a text;");
        assert_string_equal(with_nul, "1:8: a NUL byte: this is not a text;");
}

#define VM(template, more) "<VM><ID>7</ID><NAME>my web</NAME><TEMPLATE>" template "</TEMPLATE>" more "</VM>"
#define HISTORY                                                                                       \
        "<HISTORY_RECORDS><HISTORY><DS_ID>0</DS_ID></HISTORY><HISTORY><DS_ID>100</DS_ID></HISTORY></" \
        "HISTORY_RECORDS>"
#define DONE "OpenNebula has seen to these, without effect here: "

static void a_vm_is_read_as_its_core_means_it(void **state)
{
        static const struct row rows[] = {
                /* Its name is that of the domain, NAME is only a title. */
                { VM("<MEMORY>1</MEMORY>", ""), "MEMORY=<1> NAME=<one-7>" },
                { VM("<NAME>x</NAME>", ""), "NAME=<one-7>" },
                /* Written by hand: the words mean what they mean in a template. */
                { "<VM><NAME>web</NAME><TEMPLATE><NUMA_NODE><MEMORY>512</MEMORY></NUMA_NODE></TEMPLATE></VM>",
                  "NUMA_NODE=[MEMORY=<512>] NAME=<web>" },
                { VM("<NUMA_NODE><MEMORY>512</MEMORY></NUMA_NODE>", ""),
                  "NUMA_NODE=[MEMORY=<512 KiB>] NAME=<one-7>" },
                { VM("<NUMA_NODE><TOTAL_CPUS>1</TOTAL_CPUS></NUMA_NODE>", ""),
                  "NUMA_NODE=[TOTAL_CPUS=<1>] NAME=<one-7>" },
                /* Disks lie in the VM's directory, of the last history record or the message. */
                { VM("<DISK><DISK_ID>0</DISK_ID><SOURCE>/ds/1/abc</SOURCE><TYPE>FILE</TYPE><CLONE>YES</CLONE></DISK>",
                     HISTORY),
                  "DISK=[DISK_ID=<0> SOURCE=<disk.0> TYPE=<FILE>] NAME=<one-7> in:100/7 1:113: " DONE
                  "DISK/CLONE;" },
                { VM("<DISK><DISK_ID>3</DISK_ID><TYPE>fs</TYPE><DISK_TYPE>BLOCK</DISK_TYPE></DISK>", HISTORY),
                  "DISK=[DISK_ID=<3> TYPE=<BLOCK> SOURCE=<disk.3>] NAME=<one-7> in:100/7 1:85: " DONE
                  "DISK/DISK_TYPE;" },
                { VM("<DISK><DISK_ID>3</DISK_ID><TYPE>swap</TYPE></DISK>", HISTORY),
                  "DISK=[DISK_ID=<3> TYPE=<FILE> SOURCE=<disk.3>] NAME=<one-7> in:100/7" },
                { VM("<DISK><DISK_ID>3</DISK_ID></DISK>", HISTORY),
                  "DISK=[DISK_ID=<3> SOURCE=<disk.3> TYPE=<FILE>] NAME=<one-7> in:100/7" },
                { VM("<DISK><DISK_ID>1</DISK_ID><TYPE>CDROM</TYPE><FORMAT>iso</FORMAT><DRIVER>iso</DRIVER></DISK>",
                     HISTORY),
                  "DISK=[DISK_ID=<1> TYPE=<CDROM> SOURCE=<disk.1>] NAME=<one-7> in:100/7" },
                { VM("<DISK><DISK_ID>1</DISK_ID><TYPE>CDROM</TYPE><DISK_TYPE>BLOCK</DISK_TYPE></DISK>",
                     HISTORY),
                  "DISK=[DISK_ID=<1> TYPE=<BLOCK_CDROM> SOURCE=<disk.1>] NAME=<one-7> in:100/7 1:88: " DONE
                  "DISK/DISK_TYPE;" },
                { VM("<DISK><DISK_ID>1</DISK_ID><TYPE>RBD</TYPE><SOURCE>one/one-5</SOURCE><CLONE>YES</CLONE></DISK>",
                     ""),
                  "DISK=[DISK_ID=<1> TYPE=<RBD> SOURCE=<one/one-5-7-1>] NAME=<one-7> 1:112: " DONE
                  "DISK/CLONE;" },
                { VM("<DISK><DISK_ID>1</DISK_ID><TYPE>RBD</TYPE><SOURCE>one/one-5</SOURCE><CLONE>NO</CLONE></DISK>",
                     ""),
                  "DISK=[DISK_ID=<1> TYPE=<RBD> SOURCE=<one/one-5>] NAME=<one-7> 1:112: " DONE
                  "DISK/CLONE;" },
                { VM("<DISK><DISK_ID>2</DISK_ID><TYPE>FS</TYPE><DISK_TYPE>RBD</DISK_TYPE><POOL_NAME>p</POOL_NAME>"
                     "</DISK>",
                     ""),
                  "DISK=[DISK_ID=<2> TYPE=<RBD> POOL_NAME=<p> SOURCE=<p/one-sys-7-2>] NAME=<one-7> 1:85: " DONE
                  "DISK/DISK_TYPE;" },
                { VM("<DISK><DISK_ID>2</DISK_ID><TYPE>ISCSI</TYPE><SOURCE>iqn.x/1</SOURCE></DISK>", ""),
                  "DISK=[DISK_ID=<2> TYPE=<ISCSI> SOURCE=<iqn.x/1>] NAME=<one-7>" },
                { VM("<DISK><TYPE>FILE</TYPE></DISK>", HISTORY),
                  "1:44: DISK/DISK_ID: OpenNebula's number of the disk is missing;" },
                { VM("<DISK><DISK_ID>0</DISK_ID></DISK>", ""),
                  "1:44: DISK: where the VM's directory is is not said: HISTORY_RECORDS/HISTORY/DS_ID;" },
                { "<VMM_DRIVER_ACTION_DATA><REMOTE_DEPLOYMENT_FILE>/x//0/7/deployment.1</REMOTE_DEPLOYMENT_FILE>" VM(
                          "<DISK><DISK_ID>0</DISK_ID></DISK>",
                          HISTORY) "<DATASTORE/></VMM_DRIVER_ACTION_DATA>",
                  "DISK=[DISK_ID=<0> SOURCE=<disk.0> TYPE=<FILE>] NAME=<one-7> in:/x//0/7" },
                { "<VMM_DRIVER_ACTION_DATA><REMOTE_DEPLOYMENT_FILE/>" VM("<CPU>1</CPU>",
                                                                         HISTORY) "</VMM_DRIVER_ACTION_DATA>",
                  "CPU=<1> NAME=<one-7> in:100/7" },
                /* The context's CD has been made, and is one more disk. */
                { VM("<CONTEXT><DISK_ID>1</DISK_ID><TARGET>hda</TARGET><PASSWORD>x</PASSWORD></CONTEXT>",
                     HISTORY),
                  "NAME=<one-7> DISK=[TYPE=<CDROM> TARGET=<hda> DISK_ID=<1> SOURCE=<disk.1>] in:100/7" },
                { VM("<CONTEXT><DISK_ID>1</DISK_ID></CONTEXT>", HISTORY),
                  "NAME=<one-7> in:100/7 1:44: CONTEXT: has no TARGET, going on without its CD;" },
                /* Networks have been made by their drivers. */
                { VM("<NIC><BRIDGE>br0</BRIDGE><VLAN_ID>5</VLAN_ID><PHYDEV>eth0</PHYDEV><IP>10.0.0.1</IP></NIC>",
                     ""),
                  "NIC=[BRIDGE=<br0> IP=<10.0.0.1>] NAME=<one-7> 1:69: " DONE "NIC/VLAN_ID, NIC/PHYDEV;" },
                { VM("<NIC><BRIDGE>br0</BRIDGE><NETWORK_MODE>dummy</NETWORK_MODE></NIC>", ""),
                  "NIC=[BRIDGE=<>] NAME=<one-7> 1:69: " DONE "NIC/NETWORK_MODE;" },
                { VM("<NIC><MAC>02:00:00:00:00:01</MAC></NIC>", ""),
                  "NIC=[MAC=<02:00:00:00:00:01> BRIDGE=<>] NAME=<one-7>" },
                { VM("<NIC_ALIAS><IP>1</IP></NIC_ALIAS><SNAPSHOT><NAME>s</NAME></SNAPSHOT>", ""),
                  "NAME=<one-7> 1:44: " DONE "NIC_ALIAS, SNAPSHOT;" },
                { VM("<OS><KERNEL_DS>$FILE[IMAGE_ID=1]</KERNEL_DS><INITRD>/i</INITRD></OS>", HISTORY),
                  "OS=[INITRD=</i> KERNEL=<kernel>] NAME=<one-7> in:100/7" },
                /* The owner edits USER_TEMPLATE as he likes. */
                { VM("<CPU>1</CPU>",
                     "<USER_TEMPLATE><HYPERV_TIMERS>x</HYPERV_TIMERS><LOGO>y</LOGO><MINE>z</MINE>"
                     "<RNG><SOURCE>/etc/shadow</SOURCE></RNG></USER_TEMPLATE>"),
                  "CPU=<1> NAME=<one-7> 1:82: without effect in USER_TEMPLATE, which OpenNebula lets the owner edit "
                  "while the VM runs: HYPERV_TIMERS, RNG;" },
                { "<VM><ID>7</ID></VM>", "1:1: <VM>: has no <TEMPLATE>;" },
                { "<VM><ID>x</ID><TEMPLATE/></VM>", "1:5: ID: is no number of a VM;" },
                { "<VM><ID>99999999999</ID><TEMPLATE/></VM>", "1:5: ID: is no number of a VM;" },
                { "<VM><TEMPLATE/><TEMPLATE/></VM>", "1:16: <TEMPLATE>: given twice;" },
                { VM("", "<HISTORY_RECORDS><HISTORY><DS_ID>../..</DS_ID></HISTORY></HISTORY_RECORDS>"),
                  "1:81: DS_ID: is no number of a datastore;" },
                { "<VMM_DRIVER_ACTION_DATA><X/></VMM_DRIVER_ACTION_DATA>",
                  "1:1: <VMM_DRIVER_ACTION_DATA>: has no <VM>;" },
                { "<VMM_DRIVER_ACTION_DATA><VM/><VM/></VMM_DRIVER_ACTION_DATA>", "1:30: <VM>: given twice;" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

/* The messages of a spec's warnings or errors, and where the first disk is. */
static char *spec_of(const char *text, const char *host_conf)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(site_freep) struct site *site = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        struct error *err = NULL;
        struct text out = TEXT_INIT;

        assert_int_equal(site_from_text(NULL, NULL, NULL, host_conf, NULL, &site, &err), 0);
        assert_int_equal(template_parse("-", text, strlen(text), &template, &err), 0);
        if (spec_build(template, site, "/cwd", NULL, &spec, &err) == 0) {
                text_addf(&out, "%s", spec->name);
                for (size_t i = 0; i < spec->n_disks; i++)
                        text_addf(&out, " %s", spec->disks[i].path);
                for (const struct error *w = spec->warnings; w; w = w->next)
                        text_addf(&out, "; %s", w->message);
        }
        for (const struct error *e = err; e; e = e->next)
                text_addf(&out, "%s;", e->message);
        error_free(err);
        return text_take(&out);
}

static void a_vm_of_opennebula_becomes_a_spec(void **state)
{
        static const char vm[] =
                VM("<MEMORY>64</MEMORY><DISK><DISK_ID>0</DISK_ID><TARGET>sda</TARGET></DISK>", HISTORY);
        static const char odd[] =
                VM("<MEMORY>64</MEMORY><NIC><X_FROM_NETWORK>1</X_FROM_NETWORK></NIC><Y>1</Y>", "");
        static const char hand[] = "<VM><NAME>a</NAME><TEMPLATE><MEMORY>64</MEMORY><Y>1</Y></TEMPLATE></VM>";
        _cleanup_free_ char *usual = spec_of(vm, NULL);
        _cleanup_free_ char *moved = spec_of(vm, "DATASTORE_LOCATION = /srv/ds");
        _cleanup_free_ char *unknown = spec_of(odd, NULL), *by_hand = spec_of(hand, NULL);

        (void)state;
        assert_string_equal(usual, "one-7 /var/lib/one/datastores/100/7/disk.0");
        assert_string_equal(moved, "one-7 /srv/ds/100/7/disk.0");
        /* What its core or a network brought is not the user's to take away. */
        assert_string_equal(unknown, "one-7; not known here, without effect: NIC/X_FROM_NETWORK, Y");
        assert_string_equal(by_hand, "Y: no such attribute;");
}

static void a_byte_of_a_value_is_found_where_it_is_written(void **state)
{
        static const struct {
                const char *text, *marked; /* the place is that of the '@' in the value */
        } rows[] = {
                { "A = \"@x\"", "1:6" },
                { "A = \"x\\\"y@\"", "1:10" },
                { "A = \"x\r\n\\\"@\"", "2:3" },
                { "\n  A = x@y", "2:8" },
                { "<T><A>x@</A></T>", "1:8" },
                { "<T><A>&lt;&#228;&#x20ac;@</A></T>", "1:25" },
                { "<T><A><![CDATA[\n<a>@]]></A></T>", "2:4" },
                { "<T><A>a<![CDATA[b]]>c<!-- x\n -->@</A></T>", "2:5" },
                { "<T><A><![CDATA[&lt;@]]></A></T>", "1:20" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(template_freep) struct template *template = NULL;
                struct error *err = NULL;
                struct locator locator;
                const char *value;
                struct source_pos pos;
                char text[32];

                assert_int_equal(template_parse("t", rows[i].text, strlen(rows[i].text), &template, &err), 0);
                value = template->attributes[0].value;
                locator_init_value(&locator, template, &template->attributes[0].value_pos);
                /* Once in order, once back. */
                locator_place(&locator, strlen(value));
                pos = locator_place(&locator, (size_t)(strchr(value, '@') - value));
                snprintf(text, sizeof(text), "%u:%u", pos.line, pos.column);
                if (strcmp(text, rows[i].marked) != 0)
                        print_error("%s\n", rows[i].text);
                assert_string_equal(text, rows[i].marked);
                assert_string_equal(pos.file, "t");
        }
}

static void a_snippet_of_xml_is_a_tree_with_places(void **state)
{
        static const char text[] = "<a x='1'  y = \"&lt;2\"/>tail<q:b>\n<c/>1</q:b>";
        _cleanup_(xml_tree_freep) struct xml_element *root = NULL;
        const struct xml_element *a, *b;
        struct error *err = NULL;
        struct locator locator;

        (void)state;
        locator_init(&locator, "f", text, strlen(text));
        assert_int_equal(xml_tree_parse(&locator, text, strlen(text), true, &root, &err), 0);
        assert_string_equal(root->name, "");
        assert_string_equal(root->text, "tail");
        a = xml_child(root, "a", NULL);
        assert_int_equal(a->n_attributes, 2);
        assert_string_equal(a->attributes[1].name, "y");
        assert_string_equal(a->attributes[1].value, "<2");
        assert_int_equal(a->attributes[1].name_pos.column, 11);
        assert_int_equal(a->attributes[1].value_pos.column, 16);
        b = xml_child(root, "q:b", NULL);
        assert_string_equal(b->text, "\n1");
        assert_int_equal(xml_child(b, "c", NULL)->pos.line, 2);
        assert_null(xml_child(root, "a", a));
}

static void a_snippet_that_is_no_xml_names_the_place_in_it(void **state)
{
        static const struct row rows[] = {
                { "<a>", "1:4: not XML: mismatched tag; <a> of line 1 is open" },
                { "</a>", "1:3: not XML: an end tag, and no element is open" },
                { "<a/>\n<b></a>", "2:6: not XML: mismatched tag; <b> of line 2 is open" },
                { "<a", "1:3: not XML: not well-formed (invalid token)" },
                { "<?xml version='1.0'?><a/>",
                  "1:1: not XML: XML or text declaration not at start of entity" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct xml_element *root = NULL;
                struct error *err = NULL;
                struct locator locator;
                _cleanup_free_ char *ours = NULL;

                locator_init(&locator, "f", rows[i].input, strlen(rows[i].input));
                assert_int_equal(
                        xml_tree_parse(&locator, rows[i].input, strlen(rows[i].input), true, &root, &err),
                        -1);
                ours = xasprintf("%u:%u: %s", err->pos.line, err->pos.column, err->message);
                error_free(err);
                assert_string_equal(ours, rows[i].ours);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_element_is_an_attribute_or_a_vector),
                cmocka_unit_test(what_is_no_xml_is_an_error_with_its_place),
                cmocka_unit_test(entities_that_bomb_or_reach_out_are_refused),
                cmocka_unit_test(depth_number_and_size_are_bounded),
                cmocka_unit_test(ten_megabytes_of_text_are_a_value),
                cmocka_unit_test(text_in_utf_16_is_refused),
                cmocka_unit_test(a_vm_is_read_as_its_core_means_it),
                cmocka_unit_test(a_vm_of_opennebula_becomes_a_spec),
                cmocka_unit_test(a_byte_of_a_value_is_found_where_it_is_written),
                cmocka_unit_test(a_snippet_of_xml_is_a_tree_with_places),
                cmocka_unit_test(a_snippet_that_is_no_xml_names_the_place_in_it),
        };

        return cmocka_run_group_tests_name("template_xml", tests, NULL, NULL);
}
