#include "conf/agent_allow.h"

#include <string.h>

#include "base/text.h"

#define SEPARATORS " \t,"
#define LETTERS    "abcdefghijklmnopqrstuvwxyz0123456789-"

/* qga/qapi-schema.json of QEMU 7.2 and later. */
const char *const agent_always_allowed[] = {
        "guest-ping",
        "guest-info",
        "guest-get-*",
        "guest-network-get-*",
        "guest-fsfreeze-status",
        "guest-fstrim",
        "guest-set-time",
        "guest-set-vcpus",
        "guest-set-memory-blocks",
        "guest-suspend-*",
        NULL,
};

static const struct {
        const char *command, *instead;
} never[] = {
        { "guest-fsfreeze-freeze", "vmlaunch agent VM freeze" },
        { "guest-fsfreeze-freeze-list", "vmlaunch agent VM freeze" },
        { "guest-fsfreeze-thaw", "vmlaunch agent VM thaw" },
        { "guest-shutdown", "vmlaunch shutdown VM or vmlaunch reboot VM" },
        { "guest-sync", "vmlaunch agent VM ping" },
        { "guest-sync-delimited", "vmlaunch agent VM ping" },
};

static bool matches(const char *word, size_t length, const char *command)
{
        if (length && word[length - 1] == '*')
                return strncmp(word, command, length - 1) == 0;
        return strlen(command) == length && strncmp(word, command, length) == 0;
}

static const char *next_word(const char *list, size_t *ret_length)
{
        list += strspn(list, SEPARATORS);
        *ret_length = strcspn(list, SEPARATORS);
        return *ret_length ? list : NULL;
}

char *agent_allow_bad_word(const char *list)
{
        size_t n;

        for (const char *word = list; (word = next_word(word, &n)); word += n) {
                size_t letters = strspn(word, LETTERS);

                if (!text_starts_with(word, "guest-") || letters > n ||
                    !(letters == n || (letters == n - 1 && word[letters] == '*')))
                        return xstrndup(word, n);
        }
        return NULL;
}

enum agent_verdict agent_allow_judge(const char *list, const char *command, const char **ret_instead)
{
        size_t n;

        for (size_t i = 0; i < ARRAY_SIZE(never); i++)
                if (strcmp(never[i].command, command) == 0) {
                        *ret_instead = never[i].instead;
                        return AGENT_NEVER;
                }
        for (size_t i = 0; agent_always_allowed[i]; i++)
                if (matches(agent_always_allowed[i], strlen(agent_always_allowed[i]), command))
                        return AGENT_MAY;
        for (const char *word = list ? list : ""; (word = next_word(word, &n)); word += n)
                if (matches(word, n, command))
                        return AGENT_MAY;
        return AGENT_NOT_LISTED;
}
