/* fake_libc.c - a library with the versions of an old glibc, for test_preflight.c to find in a process. */
void old_one(void);
void last_one(void);
void old_one(void) {}
void last_one(void) {}
