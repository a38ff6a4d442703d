/* nothing.c - a library without content, to stand in LD_PRELOAD. */
extern int nothing_here;
int nothing_here;
