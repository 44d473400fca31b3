/* Secrets are shown nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/secret.h"
#include "conf/template.h"

static void a_value_says_whether_it_is_the_secret(void **state)
{
        const char *path = NULL;

        (void)state;
        assert_int_equal(secret_kind_of("s3cret", NULL), SECRET_TEXT);
        assert_int_equal(secret_kind_of("file", NULL), SECRET_TEXT);
        assert_int_equal(secret_kind_of("file:/etc/key", &path), SECRET_FILE);
        assert_string_equal(path, "/etc/key");
        assert_int_equal(secret_kind_of(SECRET_WITHHELD_TEXT, NULL), SECRET_WITHHELD);
}

static void values_of_secret_keys_become_asterisks(void **state)
{
        static const struct {
                const char *text, *masked;
        } cases[] = {
                { "A = 1", "A = 1" },
                { "PASSWD = canary", "PASSWD = ******" },
                { "PASSWD=\"ca\\\"na,]ry\" , X = 1", "PASSWD=************ , X = 1" },
                { "G = [ TYPE = \"vnc\", passwd = \"canary\", PORT = 5 ]",
                  "G = [ TYPE = \"vnc\", passwd = ********, PORT = 5 ]" },
                { "PASSWD = \"can\nary\" X", "PASSWD = ****\n**** X" },
                { "PASSWD\n = canary]", "PASSWD\n = ******]" },
                { "PASSWD = \"canary", "PASSWD = *******" },
                { "<PASSWD><![CDATA[canary]]></PASSWD><X>1</X>",
                  "<PASSWD>******************</PASSWD><X>1</X>" },
                { "<PASSWD ><![CDATA[ca</nary]]></PASSWD ><X>1</X>",
                  "<PASSWD >********************</PASSWD ><X>1</X>" },
                { "<PASSWD>ca<![CDATA[n</a]]>ry</PASSWD>", "<PASSWD>********************</PASSWD>" },
                { "<graphics passwd='ca,n]ary' port='1'/>", "<graphics passwd=********** port='1'/>" },
                { "<PASSWD><![CDATA[ca</na>ry]]></PASSWD><X>1</X>",
                  "<PASSWD>*********************</PASSWD><X>1</X>" },
                { "<PASSWD>a<!-- </b> -->c<![CDATA[d]]>e</PASSWD>",
                  "<PASSWD>*****************************</PASSWD>" },
                { "<passwd a=\">\">canary</passwd>", "<passwd a=\">\">******</passwd>" },
                { "<PASSWD/><X>1</X>", "<PASSWD/><X>1</X>" },
                { "<PASSWD><![CDATA[canary</PASSWD>", "<PASSWD>************************" },
                { "<PASSWD a='canary", "<PASSWD**********" },
                { "MYPASSWD = canary", "MYPASSWD = canary" },
                { "PASSWD_OF = canary PASSWD", "PASSWD_OF = canary PASSWD" },
                { "PASSWD =", "PASSWD =" },
                { "PASSWD", "PASSWD" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *masked = secret_mask(cases[i].text, strlen(cases[i].text));

                assert_string_equal(masked, cases[i].masked);
        }
}

static void an_excerpt_shows_no_secret(void **state)
{
        static const char text[] = "NAME = \"web\"\nGRAPHICS = [ PASSWD = \"canary\", TYPO ]\n";
        struct template *template = NULL;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(template_parse("web.tmpl", text, strlen(text), &template, &err), -1);
        assert_non_null(err->excerpt);
        assert_null(strstr(err->excerpt, "canary"));
        assert_non_null(strstr(err->excerpt, "TYPO"));
        error_free(err);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_value_says_whether_it_is_the_secret),
                cmocka_unit_test(values_of_secret_keys_become_asterisks),
                cmocka_unit_test(an_excerpt_shows_no_secret),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
