/* docs/threat-model.md: each test, golden and fuzz target that it names is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/unit/proof_names.h"

#define MODEL "docs/threat-model.md"

/* "FILE:TEST", "golden NAME" or "fuzz_NAME"; and "none", which promises nothing. */
static bool is_there(const char *proof)
{
        _cleanup_free_ char *path = NULL;

        if (strcmp(proof, "none") == 0)
                return true;
        if (text_starts_with(proof, "golden "))
                path = xasprintf("tests/golden/%s.tmpl", proof + strlen("golden "));
        else if (text_starts_with(proof, "fuzz_"))
                path = xasprintf("tests/fuzz/%s.c", proof);
        else
                return proof_test_exists(proof);
        return access(path, R_OK) == 0;
}

static unsigned missing_of(char *cell, unsigned line)
{
        unsigned missing = 0, n = 0;
        char *save = NULL;

        for (char *proof = strtok_r(cell, ",", &save); proof; proof = strtok_r(NULL, ",", &save), n++) {
                proof += strspn(proof, " ");
                for (size_t i = strlen(proof); i && proof[i - 1] == ' '; i--)
                        proof[i - 1] = '\0';
                if (is_there(proof))
                        continue;
                print_error("%s:%u: there is no proof '%s'\n", MODEL, line, proof);
                missing++;
        }
        if (!n)
                print_error("%s:%u: no proof\n", MODEL, line);
        return missing + !n;
}

static void every_boundary_names_proofs_that_exist(void **state)
{
        _cleanup_free_ char *model = proof_read_file(MODEL);
        unsigned rows = 0, missing = 0, number = 0;
        char *rest = model, *line;

        (void)state;
        assert_non_null(model);
        while ((line = strsep(&rest, "\n"))) {
                char *holds, *proof, *end;

                number++;
                if (!text_starts_with(line, "| ") || text_starts_with(line, "| boundary "))
                        continue;
                rows++;
                holds = strstr(line, " | ");
                proof = holds ? strstr(holds + 3, " | ") : NULL;
                end = proof ? strstr(proof + 3, " |") : NULL;
                if (!end || end[2]) {
                        print_error("%s:%u: not \"| BOUNDARY | WHAT HOLDS IT | PROOF |\"\n", MODEL, number);
                        missing++;
                        continue;
                }
                *end = '\0';
                missing += missing_of(proof + 3, number);
        }
        assert_true(rows > 0);
        assert_int_equal(missing, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_boundary_names_proofs_that_exist),
        };

        return cmocka_run_group_tests_name("threat_model", tests, NULL, NULL);
}
