/*
 * snapshot_signal.h - --snapshot-signal: a signal that asks for a snapshot.
 *
 * The signal gets a handler of ours (shared_signal.h), which only counts (the recorder sees the count and asks for the
 * snapshot as always). What the program sets for that number is called behind ours when it is a function; its default
 * action is not taken.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_SIGNAL_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_SIGNAL_H

/* From the constructor, once the session is on. */
void snapshot_signal_start(void);

#endif
