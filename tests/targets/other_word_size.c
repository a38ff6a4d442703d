/* other_word_size.c - a 32-bit program that waits; made without any library, which 32-bit ones seldom have here. */
void _start(void);
void _start(void)
{
    for (;;)
        __asm__ volatile("int $0x80" : : "a"(29) : "memory"); /* pause */
}
