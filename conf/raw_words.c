#include "conf/raw_words.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

/* The word that begins at *text, which is moved behind it; false: a quote has no end. */
static bool read_word(const char **text, struct text *word, const char **ret_wrong)
{
        const char *s = *text;
        char quote = 0;

        for (; *s && (quote || !strchr(" \t\r\n", *s)); s++) {
                bool escapes = *s == '\\' && quote != '\'' && (!quote || s[1] == '"' || s[1] == '\\');

                if (escapes && !s[1]) {
                        *ret_wrong = "nothing follows the backslash at the end";
                        return false;
                }
                if (escapes)
                        text_add_bytes(word, ++s, 1);
                else if (quote ? *s == quote : (*s == '"' || *s == '\''))
                        quote = quote ? 0 : *s;
                else
                        text_add_bytes(word, s, 1);
        }
        *text = s;
        if (quote)
                *ret_wrong =
                        quote == '"' ? "a double quote (\") has no end" : "a single quote (') has no end";
        return !quote;
}

static void free_words(char **words, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(words[i]);
        free(words);
}

int raw_words_split(const char *text, char ***ret_words, size_t *ret_n, const char **ret_wrong)
{
        char **words = NULL;
        size_t n = 0;

        for (;;) {
                struct text word = TEXT_INIT;

                text += strspn(text, " \t\r\n");
                if (!*text)
                        break;
                if (!read_word(&text, &word, ret_wrong)) {
                        text_done(&word);
                        free_words(words, n);
                        return -1;
                }
                ARRAY_GROW(words, n);
                words[n++] = text_take(&word);
        }
        *ret_words = words;
        *ret_n = n;
        return 0;
}

/*
 * What may be in QEMU's environment; one that ends with * begins so. All else is kept out: libraries find their modules,
 * drivers and configuration by it (LD_PRELOAD, GCONV_PATH, QEMU_MODULE_DIR, MESA_LOADER_DRIVER_OVERRIDE, HOME, ...), and what
 * they load runs before QEMU's sandbox is there.
 */
static const char allowed[] =
        "QEMU_AUDIO_* QEMU_PA_* QEMU_ALSA_* QEMU_OSS_* PULSE_SERVER PULSE_SINK PULSE_SOURCE PULSE_LATENCY_MSEC "
        "PIPEWIRE_LATENCY PIPEWIRE_NODE PIPEWIRE_REMOTE PIPEWIRE_RUNTIME_DIR PIPEWIRE_DEBUG JACK_DEFAULT_SERVER "
        "SDL_AUDIODRIVER G_MESSAGES_DEBUG SPICE_DEBUG_LEVEL LIBUSB_DEBUG GNUTLS_DEBUG_LEVEL VREND_DEBUG VIRGL_DEBUG "
        "MESA_DEBUG LIBGL_DEBUG MALLOC_ARENA_MAX MALLOC_CHECK_ MALLOC_PERTURB_ MALLOC_TRIM_THRESHOLD_ LANG LC_*";

bool raw_variable_is_allowed(const char *name)
{
        size_t n = strlen(name);

        for (const char *word = allowed; *word; word += *word == ' ') {
                size_t length = strcspn(word, "* ");
                bool is_prefix = word[length] == '*';

                if (strncmp(name, word, length) == 0 && (is_prefix ? n > length : n == length))
                        return true;
                word += length + is_prefix;
        }
        return false;
}
