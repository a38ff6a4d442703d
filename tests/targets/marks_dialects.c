/*
 * marks_dialects.c - heapsake.h in two translation units of old and new dialects of C and C++, with all of its
 * functions; a second copy of this file is compiled with -DSECOND.
 */
#include <heapsake/heapsake.h>

#ifdef __cplusplus
extern "C"
#endif
    int
    second(void);

#ifdef SECOND
int second(void)
{
#ifdef __cplusplus
    heapsake::region here("second"), early("early", HEAPSAKE_ALL_THREADS);
    early.end();
    return heapsake_mark("second");
#else
    int here = heapsake_region_begin("second", 0), early = heapsake_region_begin("early", HEAPSAKE_ALL_THREADS);
    heapsake_region_end(early);
    heapsake_mark("second");
    return heapsake_region_end(here);
#endif
}
#else
int main(void)
{
    int first = heapsake_region_begin("first", 0), code = second();
    heapsake_region_end(first);
    return code != 0 || heapsake_flush() != 0 || heapsake_tracing() != 1;
}
#endif
