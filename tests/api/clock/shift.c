/* Preloaded into a replica, it moves the time of day by SHIFT_SECONDS. Other clocks, by which a process waits, are
   left alone. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    const char *shift = getenv("SHIFT_SECONDS");
    if (!failed && clock == CLOCK_REALTIME && shift)
        now->tv_sec += atol(shift);
    return failed;
}
