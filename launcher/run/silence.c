#include "launcher/run/silence.h"

void silence_sent(struct silence *silence, long long now_ms)
{
        if (silence->asked)
                return;
        silence->asked = true;
        silence->since_ms = now_ms;
}

void silence_heard(struct silence *silence, long long now_ms)
{
        silence->asked = false;
        silence->since_ms = now_ms;
}

unsigned silence_wait_ms(const struct silence *silence, long long now_ms)
{
        long long left = silence->since_ms + SILENCE_MS - now_ms;

        return left > 0 ? (unsigned)left : 0;
}
