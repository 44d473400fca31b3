/*
 * number - what of libm would be used: a library less to load at each start of the program.
 */
#pragma once

#include <stdint.h>

/* x is not negative, and below 2^64. */
static inline uint64_t number_ceil(double x)
{
        uint64_t n = (uint64_t)x;

        return n + ((double)n < x);
}
