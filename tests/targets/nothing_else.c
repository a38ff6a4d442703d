/* nothing_else.c - a program that does nothing; its libraries may. */
int main(void) { return 0; }
