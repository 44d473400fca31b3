#include "launcher/verb/interrupt.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "launcher/verb/output.h"

static char *last_words;
static size_t last_words_length;

static void on_interrupt(int sig)
{
        (void)sig;
        if (write(STDERR_FILENO, last_words, last_words_length) < 0)
                _exit(1);
        _exit(1);
}

void interrupt_arm(const struct verb_context *context, const char *hint, const char *format, ...)
{
        _cleanup_error_ struct error *error = NULL;
        struct text message = TEXT_INIT;
        _cleanup_free_ char *words = NULL;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&message, format, ap);
        va_end(ap);
        words = text_take(&message);
        error_set(&error, ERROR_CANCELLED, "%s", words);
        if (hint)
                error_hint(&error, "%s", hint);
        free(last_words);
        last_words = errors_text(error, context);
        last_words_length = strlen(last_words);
        signal(SIGINT, on_interrupt);
}
