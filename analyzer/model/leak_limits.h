/*
 * leak_limits.h - every threshold of the causes in one place, with its reason.
 *
 * A confidence over 0.5 says: look at it, it is more likely a mistake than not. Plain programs must not get one.
 */
#ifndef HEAPSAKE_MODEL_LEAK_LIMITS_H
#define HEAPSAKE_MODEL_LEAK_LIMITS_H

/* --- lost --- */
#define LOST_DEFINITE 0.95      /* a program of native code: Memcheck would say "definitely lost"                     */
#define LOST_POSSIBLE 0.4       /* an interior pointer keeps it: many libraries do that on purpose                    */
#define LOST_BESIDE_PYTHON 0.85 /* what is inside extension's own allocators or tagged pointers is not seen */
#define LOST_ONCE_BESIDE_PYTHON 0.6 /* one block: a lookup table whose pointer is encoded looks like this */
#define LOST_AT_START 0.3     /* only from import and start-up, so it does not grow                                 */
#define LOST_OTHER_STACKS 0.9 /* times this when another thread's stack was scanned without its registers           */

/* --- over-referenced --- */
#define OVER_MANY 10       /* objects of one type and site: chance is out                                        */
#define OVER_ATOMIC_MIN 32 /* str, int, bytes, float: old interpreters do not count some references to them      */
#define OVER_CONFIDENCE_MANY 0.95
#define OVER_CONFIDENCE_FEW 0.75
#define OVER_CONFIDENCE_ATOMIC 0.7
#define OVER_REACHABLE 0.9   /* times this when it is in use all the same                                          */
#define OVER_CLEAN_SHARE 0.8 /* ... and while this share has none, the words at the others mean nothing             */
#define OVER_CONFIDENCE_THREADS                                                                                        \
    0.4                        /* few, beside other threads: their registers hold references that nobody sees     */
#define OVER_POINTED_SHARE 0.5 /* stale words on stacks point at some: believed while this share has none */
#define OVER_EXCESS 100        /* references too many on an object that lives since the start, or on a type          */
#define OVER_CONFIDENCE_EXCESS 0.6
#define OVER_EXCESS_SHARE 0.5 /* ... and they are this share of all its references: noise grows with the known ones */

/* --- cycle --- */
/*
 * Tracked objects born after the first of them that still live. The youngest generation is collected after 700 new ones
 * (3.11, 3.12) or 2000: it was in between, unless the collector is off.
 */
#define CYCLE_TRACKED_AFTER_OLD 750
#define CYCLE_TRACKED_AFTER 2100
#define CYCLE_WINDOW 0.2 /* of the run lies between the births of the first and the last: not dropped at once    */
#define CYCLE_CONFIDENCE_FROZEN 0.9
#define CYCLE_CONFIDENCE_OPAQUE 0.9
#define CYCLE_CONFIDENCE_UNTRACKED 0.8
#define CYCLE_CONFIDENCE_FINALIZED 0.6
#define CYCLE_CONFIDENCE_OFF 0.5       /* a threshold of 0: inferred; that gc is disabled the snapshot says */
#define CYCLE_CONFIDENCE_DISABLED 0.95 /* the snapshot says so */
#define CYCLE_CONFIDENCE_OLD 0.55      /* large: the oldest generation is collected rarely    */
#define CYCLE_CONFIDENCE_YOUNG 0.3     /* the next collection would take it   */
#define CYCLE_CONFIDENCE_GARBAGE 0.9   /* in gc.garbage                                                            */
#define CYCLE_AT_START 0.3             /* at most: what imports drop is dropped once */
#define CYCLE_LARGE_BYTES (UINT64_C(4) << 20)

/* --- growing --- */
#define GROW_MIN_MEMBERS 50   /* fewer may be the program's own set of things                                        */
#define GROW_MIN_EACH 16      /* in one of several containers whose members are alike: together GROW_MIN_MEMBERS     */
#define GROW_MIN_WINDOW 0.15  /* share of the run between the oldest member's birth and the end: less is a burst     */
#define GROW_LAST_BIRTH 0.7   /* the newest member was born in the last part of that window: it has not stopped      */
#define GROW_QUARTER_MIN 0.03 /* of all members were born in each quarter of the window: no warm-up */
#define GROW_LIVE_BEFORE                                                                                               \
    0.5 /* share of blocks of these sites that lived when the oldest member was born: more means bounded */
#define GROW_NET_SHARE                                                                                                 \
    0.5 /* an attach: of the new members, this share must be more than there were when it came: less replace others */
#define GROW_STEP_DOWN 0.05 /* the number of live blocks may fall by this share of its end from quarter to quarter */
#define GROW_CONFIDENCE 0.6
#define GROW_MANY 200 /* members                                                                         */
#define GROW_MANY_BONUS 0.1
#define GROW_LARGE_BYTES (UINT64_C(1) << 20)
#define GROW_LARGE_BONUS 0.1
#define GROW_STEADY_BONUS 0.1 /* quarters differ by less than factor two                                            */
#define GROW_SMALL_BYTES (UINT64_C(8) << 10)
#define GROW_SMALL_CONFIDENCE 0.4
#define GROW_LOCAL_CONFIDENCE 0.45 /* a local variable of a running function holds it: gone when that returns */
#define GROW_STOPPED 0.6 /* times this when by the clock it stopped in the first half, though few blocks came after */
#define GROW_CLOCK_NS UINT64_C(2000000000) /* a shorter run says nothing by its idle end */
#define GROW_BOUNDED_CONFIDENCE 0.45 /* an lru_cache that somebody has given a maxsize, as long as it is not large  */
#define GROW_RATE_SECONDS 2.0              /* in less no rate per second is told: start-up and noise are most of it */
#define GROW_PAYLOAD_SHARE 0.8             /* of the members wrap an object of one class: that one is named           */
#define GROW_SPREAD_SHARE 0.75             /* of a site's blocks must lie below a node for it to hold them           */
#define GROW_SPREAD_MEMBERS 200            /* blocks of a site without one container that has them all          */
#define GROW_SPREAD_CONFIDENCE 0.4
#define GROW_SPREAD_MOST 0.5 /* no container says that it is meant to be emptied                                   */
#define GROW_NATIVE_CONFIDENCE 0.2 /* native code that fills something and ends looks the same */

/* --- growing, by what each occurrence of a region leaves behind --- */
#define REPEATED_MANY 10               /* occurrences after warm-up: chance, and caches that fill, are out */
#define REPEATED_NATIVE_CONFIDENCE 0.4 /* a program that collects its results looks the same */

/* --- held --- */
#define HELD_BYTES (UINT64_C(1) << 20)        /* alone worth a line                                                   */
#define HELD_SHARE_BYTES (UINT64_C(64) << 10) /* ... or this, when it is a large share of all that lives */
#define HELD_SHARE 0.1
#define HELD_MANY 100       /* objects held in the same manner                                      */
#define HELD_EXCEPTION 0.75 /* a stored exception keeps more than anybody means to keep                          */
#define HELD_GENERATOR 0.6
#define HELD_COROUTINE 0.4 /* servers live in coroutines                                                       */
#define HELD_DEFAULT 0.7   /* hardly anybody wants a large default argument                                     */
#define HELD_CLOSURE 0.5   /* decorators keep state in closures on purpose                                      */
#define HELD_THREAD_LOCAL 0.5
#define HELD_IN_USE 0.35 /* a running function or a thread's stack leads to it                                */
#define HELD_SMALL 0.4   /* less than HELD_BYTES and few                                                     */

/* --- fragmentation --- */
#define FRAGMENT_BYTES (UINT64_C(4) << 20) /* free, but kept                                                       */
#define FRAGMENT_SHARE 0.25                /* ... of what is kept                                                  */
#define FRAGMENT_POOL_FULL 0.5             /* an arena or hole that is used more than this is no waste             */
#define FRAGMENT_HOLE_BYTES 16384          /* between two blocks of malloc: less serves the next small requests     */
#define FRAGMENT_NAMED_SHARE 0.5           /* of the waste hangs on one site: naming it helps                       */
#define FRAGMENT_CONFIDENCE 0.65
#define FRAGMENT_CONFIDENCE_DISPERSED 0.4

/* What is shown as text unless asked otherwise; the others are counted. */
#define LEAK_TEXT_CONFIDENCE 0.5

#endif
